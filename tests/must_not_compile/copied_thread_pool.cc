#include "lyre/base/thread_pool.h"

int size_of(const lyre::ThreadPool& pool) {
#ifdef MISUSE
  lyre::ThreadPool copy = pool;
#endif
  return pool.size();
}
