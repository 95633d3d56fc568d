#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "lyre/base/result.h"

namespace lyre {

/// Entry names and contents of a zip archive whose entries are all stored uncompressed, as
/// torch.save writes them; zip64 included. The contents are views into the archive, which must
/// outlive them. Checksums are not verified: that would read every weight at start, and torch.save
/// may leave them out (set_crc32_options). `file` begins the error messages. Format: PKWARE
/// APPNOTE.TXT 6.3, sections 4.3.6 to 4.5.3.
Result<std::map<std::string, std::span<const std::byte>, std::less<>>> read_stored_zip(
    std::span<const std::byte> archive, std::string_view file);

}  // namespace lyre
