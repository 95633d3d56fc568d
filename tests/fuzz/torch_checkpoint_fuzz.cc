// A file that claims to be a torch checkpoint. The first byte chooses the door: the whole file (zip
// and pickle), or the pickle alone, which the fuzzer can then lengthen without breaking a zip.

#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/memory_file.h"
#include "fuzz/read_archive.h"
#include "lyre/tensor/state_dict_pickle.h"
#include "lyre/tensor/tensor_archive.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool pickle_only = data[0] == 'p';
  ++data;
  --size;
  if (pickle_only) {
    const auto tensors =
        lyre::read_state_dict_pickle(std::as_bytes(std::span(data, size)), "data.pkl");
    if (!tensors.ok()) {
      lyre::fuzz::read_error(tensors.error(), "data.pkl");
      return 0;
    }
    for (const lyre::PickledTensor& tensor : *tensors) {
      LYRE_CHECK(tensor.shape.rank() == tensor.strides.rank());
      LYRE_CHECK(tensor.offset_elements >= 0 && tensor.storage_elements >= 0);
    }
    return 0;
  }
  const lyre::fuzz::MemoryFile file(data, size);
  const auto archive = lyre::open_torch_checkpoint(file.path());
  if (archive.ok()) {
    lyre::fuzz::read_archive(*archive);
  } else {
    lyre::fuzz::read_error(archive.error(), file.path());
  }
  return 0;
}
