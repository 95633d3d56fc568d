#include <utility>

#include "lyre/tensor/mapped_file.h"

lyre::MappedFile take(lyre::MappedFile& file) {
#ifdef MISUSE
  lyre::MappedFile copy = file;
#endif
  return std::move(file);
}
