#include "lyre/base/result.h"

lyre::Status write_weights();

bool try_write() {
#ifdef MISUSE
  write_weights();
#endif
  return write_weights().ok();
}
