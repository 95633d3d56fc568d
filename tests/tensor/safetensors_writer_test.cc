#include "lyre/tensor/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/tensor/tensor_archive.h"
#include "support/expect_error.h"
#include "support/temp_folder.h"

namespace lyre {
namespace {

using test::is_error;

class SafetensorsWriter : public testing::Test {
 protected:
  Status write(const std::filesystem::path& path, const SafetensorsPlan& plan) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    EXPECT_GE(file, 0);
    const Status status = write_safetensors(file, plan);
    ::close(file);
    return status;
  }

  const std::vector<int8_t> bytes_ = {1, -2, 3, -4, 5, -6, 7};
  const std::vector<float> floats_ = {0.5f, -1.5f};
  const std::vector<NamedTensor> tensors_ = {
      {"a \"quoted\" name\n", {bytes_.data(), {7}, DType::kI8, Device{}}},
      {"floats", {floats_.data(), {1, 2}, DType::kF32, Device{}}},
      {"nothing", {bytes_.data(), {0, 3}, DType::kF32, Device{}}}};
  test::TempFolder folder_;
};

TEST_F(SafetensorsWriter, WritesWhatTheReaderReads) {
  const std::filesystem::path path = folder_.path() / "x.safetensors";
  const SafetensorsPlan plan = plan_safetensors(tensors_, {{"key", "va\\lue"}, {"none", ""}});
  ASSERT_TRUE(write(path, plan).ok());
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(path)), plan.file_bytes);
  const auto archive = open_safetensors(path);
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->metadata().at("key"), "va\\lue");
  EXPECT_EQ(archive->metadata().at("none"), "");
  for (const NamedTensor& tensor : tensors_) {
    const TensorView* view = archive->find(tensor.name);
    ASSERT_NE(view, nullptr) << tensor.name;
    EXPECT_EQ(view->shape, tensor.view.shape);
    EXPECT_EQ(view->dtype, tensor.view.dtype);
    EXPECT_EQ(
        std::memcmp(view->data, tensor.view.data, static_cast<size_t>(tensor.view.size_bytes())),
        0);
  }
}

TEST_F(SafetensorsWriter, EveryTensorIsAligned) {
  const std::filesystem::path path = folder_.path() / "x.safetensors";
  ASSERT_TRUE(write(path, plan_safetensors(tensors_, {})).ok());
  const auto archive = open_safetensors(path);
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  for (const char* name : {"a \"quoted\" name\n", "floats"}) {
    EXPECT_EQ(
        reinterpret_cast<uintptr_t>(archive->find(name)->data) % SafetensorsPlan::kTensorAlignBytes,
        0u)
        << name;
  }
}

TEST_F(SafetensorsWriter, EveryTypeGoesThrough) {
  const std::filesystem::path path = folder_.path() / "x.safetensors";
  const std::vector<uint64_t> data(4, 0x0101010101010101u);
  std::vector<NamedTensor> tensors;
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
                            DType::kI32, DType::kI16, DType::kI8, DType::kU8, DType::kBool}) {
    tensors.push_back({dtype_name(dtype), {data.data(), {2, 2}, dtype, Device{}}});
  }
  ASSERT_TRUE(write(path, plan_safetensors(tensors, {})).ok());
  const auto archive = open_safetensors(path);
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  for (const NamedTensor& tensor : tensors) {
    EXPECT_EQ(archive->find(tensor.name)->dtype, tensor.view.dtype);
  }
}

TEST_F(SafetensorsWriter, AFullDiskIsAnError) {
  EXPECT_TRUE(is_error(write("/dev/full", plan_safetensors(tensors_, {})),
                       ErrorCode::kResourceExhausted, {"cannot write", "No space"}));
  EXPECT_TRUE(is_error(write_safetensors(-1, plan_safetensors(tensors_, {})), ErrorCode::kInternal,
                       {"cannot write"}));
}

}  // namespace
}  // namespace lyre
