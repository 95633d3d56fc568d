#pragma once

namespace lyre::server {

/// Milliseconds since the kernel started this process, program loading included. In steps of the
/// kernel's clock tick, 10 ms on Linux. Any thread.
double process_age_ms();

}  // namespace lyre::server
