#pragma once

#include "lyre/server/access_record.h"

namespace lyre::server {

/// One line of the program's log for each request: information, or a warning for speech that was
/// cut or broke off and for answers of 500 and above.
void log_access(const AccessRecord& record) noexcept;

}  // namespace lyre::server
