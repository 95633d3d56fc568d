#include <algorithm>
#include <string>

#include "lyre/base/quote.h"
#include "lyre/tensor/tensor_archive.h"

namespace lyre {
namespace {

std::string one_of(std::span<const DType> dtypes) {
  std::string names;
  for (const DType dtype : dtypes) {
    if (!names.empty()) names += " or ";
    names += dtype_name(dtype);
  }
  return names;
}

}  // namespace

Result<std::vector<TensorView>> read_weights(const TensorArchive& archive,
                                             std::span<const WeightSpec> table,
                                             std::span<const DType> dtypes) {
  std::vector<TensorView> views;
  views.reserve(table.size());
  for (const WeightSpec& spec : table) {
    const auto error = [&](const std::string& expected, const std::string& found) {
      return Error{ErrorCode::kDataCorrupt, archive.file_of(spec.name).string() + ": tensor " +
                                                quote(spec.name) + ": expected " + expected +
                                                ", found " + found};
    };
    const TensorView* view = archive.find(spec.name);
    if (view == nullptr) {
      if (spec.required) return error("shape " + spec.shape.to_string(), "no such tensor");
      views.push_back(TensorView{nullptr, spec.shape, DType::kF32, Device{}});
      continue;
    }
    if (view->shape != spec.shape) {
      return error("shape " + spec.shape.to_string(), view->shape.to_string());
    }
    if (std::find(dtypes.begin(), dtypes.end(), view->dtype) == dtypes.end()) {
      return error("dtype " + one_of(dtypes), dtype_name(view->dtype));
    }
    views.push_back(*view);
  }
  return views;
}

}  // namespace lyre
