#pragma once

#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/tensor/tensor_archive.h"

namespace lyre {

/// Tensors of one checkpoint by name, converted to float32; remembers the first error, so that a
/// long list of weights reads like a list. After an error every read returns nothing.
class WeightReader {
 public:
  explicit WeightReader(const TensorArchive& archive) : archive_(archive) {}

  std::vector<float> plain(const std::string& name, const Shape& shape);

  /// Weight of `module` with its norm folded: parametrizations.weight.original0/1 (g, v), weight_g
  /// and weight_v, or a plain weight. g is (shape[0], 1, 1).
  std::vector<float> normed(const std::string& module, const Shape& shape);

  Status status() const { return failed_ ? Status(error_) : ok_status(); }

 private:
  const TensorArchive& archive_;
  bool failed_ = false;
  Error error_;
};

}  // namespace lyre
