// A file that claims to be safetensors: header length, JSON, offsets.

#include <cstddef>
#include <cstdint>

#include "fuzz/memory_file.h"
#include "fuzz/read_archive.h"
#include "lyre/tensor/tensor_archive.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const lyre::fuzz::MemoryFile file(data, size);
  const auto archive = lyre::open_safetensors(file.path());
  if (archive.ok()) {
    lyre::fuzz::read_archive(*archive);
  } else {
    lyre::fuzz::read_error(archive.error(), file.path());
  }
  return 0;
}
