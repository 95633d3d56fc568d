#pragma once

#include <string_view>

namespace lyre {

/// True if the full stop at the end of `before` is one of an abbreviation that something follows
/// ("Mr.", "Prof.", "z. B.") or of an initial ("J."), so that it ends no sentence even before a
/// capital. `before` is the text up to and with the full stop.
bool ends_with_abbreviation(std::string_view before);

}  // namespace lyre
