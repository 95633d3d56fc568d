#include <string>

#include <gtest/gtest.h>

#include "lyre/tensor/tensor_archive.h"
#include "support/expect_error.h"
#include "support/temp_folder.h"
#include "tensor/file_bytes.h"

namespace lyre::test {
namespace {

std::string shard(const std::string& name, const std::string& four_bytes) {
  return safetensors_bytes(
      "{\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", four_bytes);
}

class SafetensorsFolder : public testing::Test {
 protected:
  void write_index(const std::string& weight_map) {
    folder_.write(
        "model.safetensors.index.json",
        R"({"metadata":{"total_size":8,"x":[{"y":null}]},"weight_map":)" + weight_map + "}");
  }
  Result<TensorArchive> open() { return open_safetensors_folder(folder_.path()); }

  TempFolder folder_;
};

TEST_F(SafetensorsFolder, OneFile) {
  folder_.write("model.safetensors", shard("a", "1234"));
  folder_.write("optimizer.pt", "never opened");
  const auto archive = open();
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->find("a")->as<char>()[2], '3');
}

TEST_F(SafetensorsFolder, Shards) {
  folder_.write("s1.safetensors", shard("a", "1234"));
  folder_.write("s2.safetensors", shard("b", "5678"));
  write_index(R"({"b":"s2.safetensors","a":"s1.safetensors"})");
  const auto archive = open();
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->tensors().size(), 2u);
  EXPECT_EQ(archive->find("a")->as<char>()[0], '1');
  EXPECT_EQ(archive->find("b")->as<char>()[0], '5');
  EXPECT_EQ(archive->file_of("b").filename(), "s2.safetensors");
  EXPECT_EQ(archive->file_of("missing"), folder_.path());
}

TEST_F(SafetensorsFolder, OnlyWhatTheIndexListsIsPartOfTheModel) {
  folder_.write("s1.safetensors", shard("a", "1234"));
  folder_.write("s2.safetensors", shard("a", "5678"));
  write_index(R"({"a":"s2.safetensors"})");
  const auto archive = open();
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->find("a")->as<char>()[0], '5');
}

TEST_F(SafetensorsFolder, NamesAMissingShard) {
  folder_.write("s1.safetensors", shard("a", "1234"));
  write_index(R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors"})");
  EXPECT_TRUE(is_error(open(), ErrorCode::kNotFound,
                       {"s2.safetensors", "model.safetensors.index.json", "2 tensors"}));
}

TEST_F(SafetensorsFolder, NamesATensorThatIsNotWhereTheIndexSays) {
  folder_.write("s1.safetensors", shard("a", "1234"));
  write_index(R"({"a":"s1.safetensors","b":"s1.safetensors"})");
  EXPECT_TRUE(is_error(open(), ErrorCode::kDataCorrupt,
                       {"s1.safetensors: tensor 'b'", "model.safetensors.index.json"}));
}

TEST_F(SafetensorsFolder, NamesABrokenShard) {
  folder_.write("s1.safetensors", shard("a", "1234").substr(0, 40));
  write_index(R"({"a":"s1.safetensors"})");
  EXPECT_TRUE(is_error(open(), ErrorCode::kDataCorrupt, {"s1.safetensors: header"}));
}

TEST_F(SafetensorsFolder, RefusesShardsElsewhere) {
  const TempFolder other;
  other.write("s.safetensors", shard("a", "1234"));
  const std::string escape = "../" + other.path().filename().string() + "/s.safetensors";
  for (const std::string& name :
       {escape, other.path().string() + "/s.safetensors", std::string("./s.safetensors"),
        std::string(".."), std::string("."), std::string(), std::string("a\\\\b"),
        std::string("a\\u0000b")}) {
    write_index("{\"a\":\"" + name + "\"}");
    EXPECT_TRUE(is_error(open(), ErrorCode::kDataCorrupt,
                         {"index.json: weight_map 'a'", "file in this folder"}))
        << name;
  }
}

TEST_F(SafetensorsFolder, RefusesWrongIndexes) {
  const auto refused = [&](const std::string& json, std::string_view words) {
    folder_.write("model.safetensors.index.json", json);
    return is_error(open(), ErrorCode::kDataCorrupt, {"index.json: ", words});
  };
  EXPECT_TRUE(refused("", "incomplete"));
  EXPECT_TRUE(refused("[]", "expected an object"));
  EXPECT_TRUE(refused("{}", "weight_map is missing"));
  EXPECT_TRUE(refused(R"({"weight_map":[]})", "weight_map: expected an object"));
  EXPECT_TRUE(refused(R"({"weight_map":{"a":1}})", "weight_map 'a': expected a file name"));
  EXPECT_TRUE(refused(R"({"weight_map":{"a":{"b":"c"}}})", "weight_map 'a'"));
  EXPECT_TRUE(refused(R"({"weight_map":{"a":"s","a":"t"}})", "'a' occurs twice"));
  EXPECT_TRUE(refused("{\"metadata\":" + std::string(100'000, '['), "too deep"));
  EXPECT_TRUE(refused("{\"weight_map\":{\"a\xff\":\"s\"}}", "at byte"));
}

TEST_F(SafetensorsFolder, SaysWhatAModelFolderIs) {
  EXPECT_TRUE(is_error(open(), ErrorCode::kNotFound,
                       {"model.safetensors", "model.safetensors.index.json", "an empty folder"}));
  folder_.write("pytorch_model.bin", "x");
  EXPECT_TRUE(is_error(open(), ErrorCode::kNotFound, {"found 'pytorch_model.bin'"}));
  for (int k = 0; k < 20; ++k) folder_.write("file" + std::to_string(k), "x");
  EXPECT_TRUE(is_error(open(), ErrorCode::kNotFound, {"13 more"}));
  EXPECT_TRUE(is_error(open_safetensors_folder(folder_.path() / "absent"), ErrorCode::kNotFound,
                       {"absent: no such folder"}));
  EXPECT_TRUE(is_error(open_safetensors_folder(folder_.path() / "file1"),
                       ErrorCode::kInvalidArgument, {"expected a model folder, found a file"}));
}

}  // namespace
}  // namespace lyre::test
