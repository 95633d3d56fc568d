#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/tensor/tensor_archive.h"
#include "support/expect_error.h"
#include "support/temp_folder.h"
#include "tensor/file_bytes.h"

namespace lyre::test {
namespace {

const std::string kGood = R"({"__metadata__":{"format":"pt"},)"
                          R"("b":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},)"
                          R"("a":{"dtype":"I16","shape":[4],"data_offsets":[0,8]},)"
                          R"("none":{"dtype":"BF16","shape":[3,0],"data_offsets":[16,16]},)"
                          R"("scalar":{"dtype":"F64","shape":[],"data_offsets":[16,24]}}  )";
const std::string kGoodData =
    raw_all<int16_t>({1, -2, 3, -4}) + raw_all<float>({0.5f, -8.0f}) + raw(2.25);

class Safetensors : public testing::Test {
 protected:
  Result<TensorArchive> open(const std::string& bytes) {
    return open_safetensors(folder_.write("x.safetensors", bytes));
  }
  Result<TensorArchive> open(const std::string& header, const std::string& data) {
    return open(safetensors_bytes(header, data));
  }
  // A header with one tensor of four bytes.
  Result<TensorArchive> open_one(const std::string& entry) {
    return open("{\"w\":" + entry + "}", "1234");
  }

  TempFolder folder_;
};

TEST_F(Safetensors, ReadsTensorsInPlace) {
  const auto archive = open(kGood, kGoodData);
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  ASSERT_EQ(archive->tensors().size(), 4u);
  EXPECT_EQ(archive->metadata().at("format"), "pt");
  EXPECT_EQ(archive->size_bytes(), 24);

  const TensorView* a = archive->find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->dtype, DType::kI16);
  EXPECT_EQ(a->shape, Shape({4}));
  EXPECT_EQ(a->as<int16_t>()[3], -4);
  const TensorView* b = archive->find("b");
  EXPECT_EQ(b->shape, Shape({2, 1}));
  EXPECT_EQ(b->as<float>()[1], -8.0f);
  EXPECT_EQ(*archive->find("scalar")->as<double>(), 2.25);
  EXPECT_EQ(archive->find("none")->shape, Shape({3, 0}));
  EXPECT_NE(archive->find("none")->data, nullptr);  // nullptr would say that it is absent
  EXPECT_EQ(archive->find("c"), nullptr);
  EXPECT_EQ(archive->file_of("a").filename(), "x.safetensors");
  EXPECT_EQ(archive->file_of("c").filename(), "x.safetensors");
}

TEST_F(Safetensors, ViewsOutliveTheArchiveTheyCameFrom) {
  std::vector<TensorArchive> copies;
  {
    auto archive = open(kGood, kGoodData);
    ASSERT_TRUE(archive.ok());
    copies.push_back(*archive);
  }
  EXPECT_EQ(copies[0].find("b")->as<float>()[0], 0.5f);
}

// Old writers did not pad the header, so the data may begin anywhere.
TEST_F(Safetensors, CopiesUnalignedData) {
  for (int padding = 0; padding < 8; ++padding) {
    std::string header = kGood;
    header.append(static_cast<size_t>(padding), ' ');
    const auto archive = open(header, kGoodData);
    ASSERT_TRUE(archive.ok()) << archive.error().message;
    for (const auto& [name, view] : archive->tensors()) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) %
                    static_cast<uintptr_t>(dtype_size_bytes(view.dtype)),
                0u)
          << name;
    }
    EXPECT_EQ(archive->find("a")->as<int16_t>()[1], -2);
    EXPECT_EQ(archive->find("b")->as<float>()[1], -8.0f);
    EXPECT_EQ(*archive->find("scalar")->as<double>(), 2.25);
  }
}

TEST_F(Safetensors, EmptyModel) {
  const auto archive = open("{}", "");
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_TRUE(archive->tensors().empty());
}

// Failure injection: the file ends after every number of bytes.
TEST_F(Safetensors, RefusesEveryTruncation) {
  const std::string whole = safetensors_bytes(kGood, kGoodData);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(is_error(open(whole.substr(0, size)), ErrorCode::kDataCorrupt, {"x.safetensors"}))
        << size;
  }
  EXPECT_TRUE(open(whole).ok());
}

TEST_F(Safetensors, RefusesTrailingBytes) {
  EXPECT_TRUE(is_error(open(kGood, kGoodData + "!"), ErrorCode::kDataCorrupt,
                       {"x.safetensors", "expected 24 bytes", "found 25"}));
}

TEST_F(Safetensors, RefusesHugeHeaderLengths) {
  for (const uint64_t length : {uint64_t{100'000'001}, uint64_t{1} << 40, uint64_t{1} << 63,
                                ~uint64_t{0}, ~uint64_t{0} - 7}) {
    EXPECT_TRUE(is_error(open(raw(length) + "{}"), ErrorCode::kDataCorrupt,
                         {"x.safetensors: header length", std::to_string(length)}));
  }
  EXPECT_TRUE(is_error(open(raw(uint64_t{100'000'000}) + "{}"), ErrorCode::kDataCorrupt,
                       {"header", "expected 100000000 bytes", "has 2"}));
}

TEST_F(Safetensors, RefusesWrongJson) {
  const std::pair<std::string, std::string_view> kCases[] = {
      {"", "incomplete"},
      {"[]", "expected an object"},
      {"7", "expected an object"},
      {"{\"a\":}", "at byte 5"},
      {"{} {}", "extra data"},
      {std::string("{}\0", 3), "extra data"},
      {"{\"a\":1}", "tensor 'a': expected an object"},
      {"{\"__metadata__\":[]}", "expected an object"},
      {"{\"__metadata__\":{\"k\":1}}", "__metadata__ 'k'"},
      {"{\"__metadata__\":{},\"__metadata__\":{}}", "'__metadata__' occurs twice"},
      {"{\"\xff\":{}}", "at byte 2"},
      {"{\"__metadata__\":{\"k\":\"\xc0\xaf\"}}", "at byte"},
      {"{\"\\ud800\":{}}", "at byte 8"},
  };
  for (const auto& [header, words] : kCases) {
    EXPECT_TRUE(is_error(open(header, ""), ErrorCode::kDataCorrupt, {"x.safetensors: ", words}))
        << header;
  }
}

TEST_F(Safetensors, RefusesDeepJsonWithoutRecursion) {
  const std::string deep(1'000'000, '[');
  EXPECT_TRUE(is_error(open_one("{\"shape\":" + deep), ErrorCode::kDataCorrupt,
                       {"x.safetensors", "'w'", "shape"}));
  EXPECT_TRUE(is_error(open(deep, ""), ErrorCode::kDataCorrupt, {"x.safetensors", "object"}));
}

TEST_F(Safetensors, RefusesWrongEntries) {
  const std::pair<std::string, std::string_view> kCases[] = {
      {R"({"shape":[1],"data_offsets":[0,4]})", "field dtype is missing"},
      {R"({"dtype":"F32","data_offsets":[0,4]})", "field shape is missing"},
      {R"({"dtype":"F32","shape":[1]})", "field data_offsets is missing"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})", "found 'x'"},
      {R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})", "'dtype' occurs twice"},
      {R"({"dtype":"F7","shape":[1],"data_offsets":[0,4]})", "found 'F7'"},
      {R"({"dtype":"f32","shape":[1],"data_offsets":[0,4]})", "found 'f32'"},
      {R"({"dtype":4,"shape":[1],"data_offsets":[0,4]})", "dtype"},
      {R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})", "shape: expected an array"},
      {R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", "shape: expected integers"},
      {R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})", "shape: expected integers"},
      {R"({"dtype":"F32","shape":[1e0],"data_offsets":[0,4]})", "shape: expected integers"},
      {R"({"dtype":"F32","shape":["1"],"data_offsets":[0,4]})", "shape: expected integers"},
      {R"({"dtype":"F32","shape":[[1]],"data_offsets":[0,4]})", "shape: expected integers"},
      {R"({"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]})", "2^63"},
      {R"({"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]})", "shape"},
      {R"({"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]})", "at most 6"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", "expected 8 bytes for f32 (2)"},
      {R"({"dtype":"F16","shape":[1],"data_offsets":[0,4]})", "expected 2 bytes for f16 (1)"},
      {R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,4]})", "more than 2^63"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":{}})", "data_offsets: expected an array"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[]})", "two numbers, found 0"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[0]})", "two numbers, found 1"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,8]})", "two numbers, found more"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", "found [4, 0]"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", "within the 4 bytes"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})", "data_offsets: expected integers"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[9223372036854775804,9223372036854775807]})",
       "within the 4 bytes"},
  };
  ASSERT_TRUE(open_one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})").ok());
  for (const auto& [entry, words] : kCases) {
    EXPECT_TRUE(is_error(open_one(entry), ErrorCode::kDataCorrupt, {"x.safetensors: ", "w", words}))
        << entry;
  }
}

TEST_F(Safetensors, RefusesOverlapsHolesAndDuplicates) {
  const auto pair = [&](const std::string& first, const std::string& second) {
    return open("{\"a\":{\"dtype\":\"U8\",\"shape\":" + first +
                    "},\"b\":{\"dtype\":\"U8\",\"shape\":" + second + "}}",
                "12345678");
  };
  ASSERT_TRUE(pair(R"([4],"data_offsets":[0,4])", R"([4],"data_offsets":[4,8])").ok());
  const auto overlap = pair(R"([5],"data_offsets":[0,5])", R"([4],"data_offsets":[4,8])");
  EXPECT_TRUE(is_error(overlap, ErrorCode::kDataCorrupt, {"'b'", "overlaps", "5", "found 4"}));
  const auto same = pair(R"([8],"data_offsets":[0,8])", R"([8],"data_offsets":[0,8])");
  EXPECT_TRUE(is_error(same, ErrorCode::kDataCorrupt, {"overlaps"}));
  const auto hole = pair(R"([3],"data_offsets":[0,3])", R"([4],"data_offsets":[4,8])");
  EXPECT_TRUE(is_error(hole, ErrorCode::kDataCorrupt, {"'b'", "hole"}));
  const auto start = pair(R"([3],"data_offsets":[1,4])", R"([4],"data_offsets":[4,8])");
  EXPECT_TRUE(is_error(start, ErrorCode::kDataCorrupt, {"'a'", "hole"}));

  const std::string entry = R"(:{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  EXPECT_TRUE(is_error(open("{\"w\"" + entry + ",\"w\"" + entry + "}", "1234"),
                       ErrorCode::kDataCorrupt, {"'w' occurs twice"}));
}

TEST_F(Safetensors, NamesWhatIsNoFile) {
  EXPECT_TRUE(is_error(open_safetensors(folder_.path() / "absent.safetensors"),
                       ErrorCode::kNotFound, {"absent.safetensors"}));
  EXPECT_TRUE(is_error(open_safetensors(folder_.path()), ErrorCode::kInvalidArgument,
                       {"regular file", "folder"}));
  EXPECT_TRUE(is_error(open_safetensors("/dev/null"), ErrorCode::kInvalidArgument,
                       {"/dev/null", "special file"}));
}

}  // namespace
}  // namespace lyre::test
