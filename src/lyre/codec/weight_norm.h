#pragma once

#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/tensor/tensor_archive.h"

namespace lyre {

/// Tensors of one checkpoint by name, converted to float32; remembers the first error, so that a
/// long list of weights reads like a list. Names and shapes are checked at once, before memory is
/// taken for them; the values come with finish(). The archive and every `out` must stay where they
/// are until then.
class WeightReader {
 public:
  explicit WeightReader(const TensorArchive& archive) : archive_(archive) {}

  void plain(const std::string& name, const Shape& shape, std::vector<float>& out);

  /// Weight of `module` with its norm folded: parametrizations.weight.original0/1 (g, v), weight_g
  /// and weight_v, or a plain weight. g is (shape[0], 1, 1).
  void normed(const std::string& module, const Shape& shape, std::vector<float>& out);

  /// Fills everything, all threads together; or returns the first error.
  Status finish(ThreadPool& threads);

 private:
  struct Task {
    TensorView values;  // (rows, ...)
    TensorView gains;   // (rows, 1, 1); data == nullptr: no norm to fold
    std::vector<float>* out = nullptr;
  };

  TensorView find(const std::string& name, const Shape& shape);
  static void fill_rows(const Task& task, int64_t first, int64_t last);

  const TensorArchive& archive_;
  std::vector<Task> tasks_;
  Status status_ = ok_status();
};

}  // namespace lyre
