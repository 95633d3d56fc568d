#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "lyre/tensor/tensor_archive.h"
#include "support/expect_error.h"
#include "support/temp_folder.h"
#include "tensor/file_bytes.h"

namespace lyre::test {
namespace {

using namespace std::string_literals;

const std::string kSix = raw_all<float>({1, 2, 3, 4, 5, 6});

class TorchCheckpoint : public testing::Test {
 protected:
  Result<TensorArchive> open(const std::string& bytes) {
    return open_torch_checkpoint(folder_.write("m.bin", bytes));
  }
  Result<TensorArchive> open(const std::string& data_pkl, const ZipEntries& storages) {
    return open(checkpoint_bytes(data_pkl, storages));
  }
  // One tensor over the storage 1 2 3 4 5 6.
  Result<TensorArchive> open_one(const std::string& pickled) {
    return open(pickle::state_dict({{"w", pickled}}), {{"0", kSix}});
  }
  // The whole pickle, beside the same storage.
  Result<TensorArchive> open_pickle(const std::string& data_pkl) {
    return open(data_pkl, {{"0", kSix}});
  }

  static std::vector<float> values(const TensorArchive& archive, std::string_view name) {
    const TensorView* view = archive.find(name);
    EXPECT_NE(view, nullptr) << name;
    if (view == nullptr) return {};
    std::vector<float> out(static_cast<size_t>(view->shape.elements()));
    EXPECT_TRUE(convert_to_f32(*view, out).ok());
    return out;
  }

  TempFolder folder_;
};

TEST_F(TorchCheckpoint, ReadsTensorsOfSharedStorages) {
  const std::string data_pkl = pickle::state_dict(
      {{"whole", pickle::tensor()},
       {"row", pickle::tensor({.offset = 3, .sizes = {1, 3}, .strides = {77, 1}})},
       {"scalar", pickle::tensor({.offset = 5, .sizes = {}, .strides = {}})},
       {"none", pickle::tensor({.offset = 6, .sizes = {0, 4}, .strides = {4, 1}})},
       {"half", pickle::tensor({.storage = "1",
                                .type = "HalfStorage",
                                .storage_elements = 2,
                                .sizes = {2},
                                .strides = {1}})}});
  for (const size_t align : {size_t{64}, size_t{1}}) {
    for (const bool zip64 : {false, true}) {
      const auto archive =
          open(checkpoint_bytes(data_pkl, {{"0", kSix}, {"1", raw_all<uint16_t>({0x3C00, 0xC000})}},
                                {.zip64 = zip64, .align_bytes = align, .comment = "a comment"}));
      ASSERT_TRUE(archive.ok()) << archive.error().message;
      EXPECT_EQ(archive->tensors().size(), 5u);
      EXPECT_EQ(archive->find("whole")->shape, Shape({2, 3}));
      EXPECT_EQ(archive->find("whole")->dtype, DType::kF32);
      EXPECT_EQ(values(*archive, "whole"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
      EXPECT_EQ(values(*archive, "row"), (std::vector<float>{4, 5, 6}));
      EXPECT_EQ(values(*archive, "scalar"), std::vector<float>{6});
      EXPECT_EQ(values(*archive, "half"), (std::vector<float>{1, -2}));
      EXPECT_EQ(archive->find("none")->shape, Shape({0, 4}));
      EXPECT_EQ(archive->file_of("row").filename(), "m.bin");
      for (const auto& [name, view] : archive->tensors()) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) %
                      static_cast<uintptr_t>(dtype_size_bytes(view.dtype)),
                  0u)
            << name;
      }
      // Views into one storage stay views into one memory.
      EXPECT_EQ(archive->find("whole")->as<float>() + 3, archive->find("row")->as<float>());
    }
  }
}

TEST_F(TorchCheckpoint, MakesStridedTensorsContiguous) {
  const auto archive =
      open_one(pickle::tensor({.sizes = {3, 2}, .strides = {1, 3}}));  // the transpose
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->find("w")->shape, Shape({3, 2}));
  EXPECT_EQ(values(*archive, "w"), (std::vector<float>{1, 4, 2, 5, 3, 6}));

  const auto column = open_one(pickle::tensor({.offset = 1, .sizes = {2}, .strides = {3}}));
  ASSERT_TRUE(column.ok()) << column.error().message;
  EXPECT_EQ(values(*column, "w"), (std::vector<float>{2, 5}));

  const auto repeated = open_one(pickle::tensor({.offset = 2, .sizes = {3}, .strides = {0}}));
  ASSERT_TRUE(repeated.ok()) << repeated.error().message;
  EXPECT_EQ(values(*repeated, "w"), (std::vector<float>{3, 3, 3}));
}

TEST_F(TorchCheckpoint, EveryStorageType) {
  const std::pair<const char*, DType> kTypes[] = {
      {"DoubleStorage", DType::kF64}, {"FloatStorage", DType::kF32},
      {"HalfStorage", DType::kF16},   {"BFloat16Storage", DType::kBF16},
      {"LongStorage", DType::kI64},   {"IntStorage", DType::kI32},
      {"ShortStorage", DType::kI16},  {"CharStorage", DType::kI8},
      {"ByteStorage", DType::kU8},    {"BoolStorage", DType::kBool}};
  for (const auto& [type, dtype] : kTypes) {
    const int64_t elements = 24 / dtype_size_bytes(dtype);
    const auto archive = open_one(
        pickle::tensor({.type = type, .storage_elements = elements, .sizes = {1}, .strides = {1}}));
    ASSERT_TRUE(archive.ok()) << type << ": " << archive.error().message;
    EXPECT_EQ(archive->find("w")->dtype, dtype) << type;
  }
}

// What torch.save writes around the tensors: memo, Parameter, the OrderedDict with its _metadata.
TEST_F(TorchCheckpoint, ReadsAModulesStateDict) {
  const std::string parameter = pickle::global("torch._utils", "_rebuild_parameter") +
                                pickle::tuple({pickle::tensor(), "\x88", pickle::ordered_dict()}) +
                                "R";
  const std::string data_pkl =
      "\x80\x02" + pickle::ordered_dict() + "q\x07(" + pickle::text("a") + parameter + "q\x01" +
      pickle::text("b") + "h\x01u" + pickle::text("c") + pickle::tensor() + "r\x00\x01\x00\x00s"s +
      "}" + pickle::text("_metadata") + pickle::ordered_dict() + pickle::text("") + "}" +
      pickle::text("version") + pickle::integer(1) + "sssb.";
  const auto archive = open_pickle(data_pkl);
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->tensors().size(), 3u);
  EXPECT_EQ(values(*archive, "b"), values(*archive, "c"));
}

TEST_F(TorchCheckpoint, RefusesEveryTruncation) {
  const std::string whole = checkpoint_bytes(pickle::state_dict({{"w", pickle::tensor()}}),
                                             {{"0", kSix}}, {.zip64 = true});
  ASSERT_TRUE(open(whole).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(is_error(open(whole.substr(0, size)), ErrorCode::kDataCorrupt, {"m.bin"})) << size;
  }
}

TEST_F(TorchCheckpoint, RefusesEveryTruncatedPickle) {
  const std::string whole = pickle::state_dict({{"w", pickle::tensor()}});
  ASSERT_TRUE(open_pickle(whole).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(is_error(open_pickle(whole.substr(0, size)), ErrorCode::kDataCorrupt,
                         {"m.bin: data.pkl: pickle at byte"}))
        << size;
  }
}

// Any byte of a small file, made each of several others: an error or a model, never a fault.
TEST_F(TorchCheckpoint, SurvivesEveryChangedByte) {
  const std::string whole =
      checkpoint_bytes(pickle::state_dict({{"w", pickle::tensor()}}), {{"0", kSix}});
  int refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0xFF);
    const auto archive = open(changed);
    if (!archive.ok()) {
      ++refused;
    } else if (archive->find("w") != nullptr) {
      (void)values(*archive, "w");  // reads every element
    }
  }
  EXPECT_GT(refused, 0);
}

TEST_F(TorchCheckpoint, RefusesCodeAndRunsNothing) {
  const std::filesystem::path proof = folder_.path() / "executed";
  const std::string command = pickle::text("touch " + proof.string());
  const struct {
    std::string data_pkl;
    std::string_view named;
  } kAttacks[] = {
      {"\x80\x02" + pickle::global("os", "system") + pickle::tuple({command}) + "R.", "os.system"},
      {"\x80\x02" + pickle::global("posix", "system") + pickle::tuple({command}) + "R.",
       "posix.system"},
      {"\x80\x02" + pickle::global("builtins", "eval") + pickle::tuple({command}) + "R.",
       "builtins.eval"},
      {"\x80\x02" + pickle::global("torch", "load") + pickle::tuple({command}) + "R.",
       "torch.load"},
      {"\x80\x02" + pickle::global("collections", "OrderedDict\x01") + ")R.", "OrderedDict\\x01"},
      {"\x80\x02(S'id'\nios\nsystem\n.", "opcode 0x53 'S'"},          // STRING, INST
      {"\x80\x02(" + command + "ios\nsystem\n.", "opcode 0x69 'i'"},  // INST
      {"\x80\x02" + pickle::text("os") + pickle::text("system") + "\x93.", "opcode 0x93"},
      {"\x80\x02\x82\x01.", "opcode 0x82"},               // EXT1
      {"\x80\x02(" + command + "o.", "opcode 0x6f 'o'"},  // OBJ
      {"\x80\x02)\x81.", "opcode 0x81"},                  // NEWOBJ
  };
  for (const auto& attack : kAttacks) {
    EXPECT_TRUE(
        is_error(open_pickle(attack.data_pkl), ErrorCode::kDataCorrupt,
                 {"m.bin: data.pkl: pickle at byte ", attack.named, "nothing was executed"}))
        << attack.named;
  }
  // Known globals in the place of others.
  EXPECT_TRUE(is_error(open_one(pickle::global("torch", "FloatStorage") + pickle::tuple({}) + "R"),
                       ErrorCode::kDataCorrupt, {"FloatStorage", "not called"}));
  EXPECT_TRUE(is_error(open_one(pickle::tensor() + pickle::tuple({}) + "R"),
                       ErrorCode::kDataCorrupt, {"REDUCE: expected a known global"}));
  EXPECT_FALSE(std::filesystem::exists(proof));
}

TEST_F(TorchCheckpoint, RefusesWrongPickles) {
  const std::string tensor = pickle::tensor();
  const std::pair<std::string, std::string_view> kCases[] = {
      {"\x80\x04}.", "expected pickle protocol 2, found 4"},
      {"\x80\x02" + tensor + ".", "expected a state dict, found a tensor"},
      {"\x80\x02.", "expected one value at STOP"},
      {"\x80\x02}}.", "expected one value at STOP"},
      {"\x80\x02(}.", "expected one value at STOP"},
      {"\x80\x02}.x", "expected the end after STOP"},
      {"\x80\x02}u.", "expected a MARK"},
      {"\x80\x02(u.", "expected a dict below"},
      {"\x80\x02}(" + pickle::text("w") + "u.", "pairs"},
      {"\x80\x02)" + pickle::text("w") + tensor + "s.", "expected a dict below"},
      {"\x80\x02}" + pickle::integer(1) + tensor + "s.", "found an int"},
      {"\x80\x02}(0.", "opcode 0x30"},
      {"\x80\x02h\x05.", "memo 5 was never set"},
      {"\x80\x02j\x01\x00\x00\x80."s, "memo 2147483649 was never set"},
      {"\x80\x02q\x01.", "the stack is empty"},
      {"\x80\x02}(q\x01.", "the stack is empty"},
      {"\x80\x02\x85.", "the stack is empty"},
      {"\x80\x02}(\x85.", "the stack is empty"},
      {"\x80\x02R.", "the stack is empty"},
      {"\x80\x02Q.", "the stack is empty"},
      {"\x80\x02"
       "b.",
       "the stack is empty"},
      {"\x80\x02}Q.", "persistent id"},
      {"\x80\x02}N"
       "b.",
       "BUILD: expected a dict"},
      {"\x80\x02" + pickle::text("\xc3\x28") + ".", "invalid UTF-8 at its byte 0"},
      {"\x80\x02X\xff\xff\xff\xff", "truncated"},
      {"\x80\x02\x8a\x09"
       "123456789.",
       "LONG1: expected at most 8 bytes, found 9"},
      {"\x80\x02"
       "c" +
           std::string(1000, 'm'),
       "no end"},
      {"\x80\x02" + pickle::global("collections", "OrderedDict") + pickle::tuple({"N"}) + "R.",
       "OrderedDict: expected no arguments"},
      {pickle::state_dict({{"state_dict", "}"}}),
       "entry 'state_dict': expected a tensor, found a dict"},
      {pickle::state_dict({{"w", "K\x01"}}), "entry 'w': expected a tensor, found an int"},
  };
  for (const auto& [data_pkl, words] : kCases) {
    EXPECT_TRUE(is_error(open_pickle(data_pkl), ErrorCode::kDataCorrupt,
                         {"m.bin: data.pkl: pickle at byte ", words}));
  }
  EXPECT_TRUE(is_error(open_pickle(pickle::state_dict({{"w", tensor}, {"w", tensor}})),
                       ErrorCode::kDataCorrupt, {"'w'", "a second time"}));
}

TEST_F(TorchCheckpoint, SurvivesACyclicDict) {
  EXPECT_TRUE(is_error(open_pickle("\x80\x02}q\x01" + pickle::text("self") + "h\x01s."),
                       ErrorCode::kDataCorrupt, {"'self'", "found a dict"}));
}

TEST_F(TorchCheckpoint, RefusesWrongTensors) {
  constexpr int64_t kHuge = int64_t{1} << 62;
  const std::pair<std::string, std::string_view> kCases[] = {
      {pickle::tensor({.offset = 1}), "expected a view within the 6 elements"},
      {pickle::tensor({.offset = -1}), "offset is negative"},
      {pickle::tensor({.offset = std::numeric_limits<int64_t>::max()}), "expected a view within"},
      {pickle::tensor({.sizes = {2, 4}, .strides = {4, 1}}), "expected a view within"},
      {pickle::tensor({.sizes = {2, 2}, .strides = {5, 1}}), "expected a view within"},
      {pickle::tensor({.sizes = {2, 2}, .strides = {kHuge, kHuge}}), "expected a view within"},
      {pickle::tensor({.sizes = {2, 3}, .strides = {-3, 1}}), "strides: expected integers"},
      {pickle::tensor({.sizes = {-2, 3}, .strides = {3, 1}}), "sizes: expected integers"},
      {pickle::tensor({.sizes = {kHuge, 4}, .strides = {0, 0}}), "overflows"},
      {pickle::tensor({.sizes = {kHuge / 4}, .strides = {0}}), "larger than the whole file"},
      {pickle::tensor({.sizes = {1 << 20}, .strides = {0}}), "larger than the whole file"},
      {pickle::tensor({.sizes = {6}, .strides = {1, 1}}), "as many strides as sizes"},
      {pickle::tensor({.sizes = {1, 1, 1, 1, 1, 1, 1}, .strides = {1, 1, 1, 1, 1, 1, 1}}),
       "at most 6, found 7"},
      {pickle::tensor({.storage = "1"}), "zip entry data/1, found none"},
      {pickle::tensor({.storage = "../data/0"}), "zip entry data/../data/0, found none"},
      {pickle::tensor({.storage_elements = 7}), "expected 7 elements of f32, found 24 bytes"},
      {pickle::tensor({.type = "HalfStorage"}), "expected 6 elements of f16, found 24 bytes"},
      {pickle::tensor({.storage_elements = kHuge}), "found 24 bytes"},
      {pickle::tensor({.storage_elements = -1}), "persistent id"},
      {pickle::tensor({.type = "_rebuild_tensor_v2"}), "torch._rebuild_tensor_v2"},
      {pickle::tensor({.type = "ComplexFloatStorage"}), "torch.ComplexFloatStorage"},
      {pickle::global("torch._utils", "_rebuild_tensor_v2") + pickle::tuple({"N"}) + "R",
       "_rebuild_tensor_v2: expected (storage"},
      {pickle::global("torch._utils", "_rebuild_parameter") + pickle::tuple({"N"}) + "R",
       "_rebuild_parameter: expected a tensor"},
  };
  for (const auto& [pickled, words] : kCases) {
    EXPECT_TRUE(is_error(open_one(pickled), ErrorCode::kDataCorrupt, {"m.bin: ", words}));
  }
}

// A tensor whose data are to be read negated or conjugated says so in a seventh argument.
TEST_F(TorchCheckpoint, RefusesMathBits) {
  const auto with = [&](const std::string& metadata) {
    return pickle::global("torch._utils", "_rebuild_tensor_v2") +
           pickle::tuple({pickle::storage({}), pickle::integer(0), pickle::integers({6}),
                          pickle::integers({1}), "\x89", pickle::ordered_dict(), metadata}) +
           "R";
  };
  EXPECT_TRUE(open_one(with("N")).ok());
  EXPECT_TRUE(is_error(open_one(with("}" + pickle::text("neg") + "\x88s")), ErrorCode::kDataCorrupt,
                       {"_rebuild_tensor_v2"}));
}

TEST_F(TorchCheckpoint, RefusesWrongArchives) {
  const std::string data_pkl = pickle::state_dict({{"w", pickle::tensor()}});
  const ZipEntries entries = {{"m/data.pkl", data_pkl}, {"m/data/0", kSix}};
  ASSERT_TRUE(open(zip_bytes(entries)).ok());  // byteorder is younger than the format

  const auto refused = [&](const std::string& bytes, std::string_view words) {
    return is_error(open(bytes), ErrorCode::kDataCorrupt, {"m.bin: ", words});
  };
  ZipEntries more = entries;
  more.push_back({"m/byteorder", "big"});
  EXPECT_TRUE(refused(zip_bytes(more), "byteorder: expected 'little', found 'big'"));
  EXPECT_TRUE(refused(zip_bytes({{"m/data/0", kSix}}), "without NAME/data.pkl"));
  EXPECT_TRUE(refused(zip_bytes({{"a/b/data.pkl", data_pkl}}), "without NAME/data.pkl"));
  EXPECT_TRUE(refused(zip_bytes({}), "without NAME/data.pkl"));
  more = entries;
  more.push_back({"n/data.pkl", data_pkl});
  EXPECT_TRUE(refused(zip_bytes(more), "expected one data.pkl, found two"));
  more = entries;
  more.push_back(entries[1]);
  EXPECT_TRUE(refused(zip_bytes(more), "'m/data/0': occurs twice"));
  EXPECT_TRUE(refused(zip_bytes(entries, {.method = 8}), "found method 8"));
  EXPECT_TRUE(refused(zip_bytes(entries, {.flags = 1}), "is encrypted"));
  EXPECT_TRUE(refused(zip_bytes(entries) + "x", "no end of a zip directory"));
  EXPECT_TRUE(refused("", "no end of a zip directory"));
  EXPECT_TRUE(refused(std::string(100'000, 'P'), "no end of a zip directory"));
  EXPECT_TRUE(refused(data_pkl, "torch before 1.6"));
  EXPECT_TRUE(is_error(open_torch_checkpoint(folder_.path() / "absent.bin"), ErrorCode::kNotFound,
                       {"absent.bin"}));
}

// An entry inside the data of another: with many of them a small file claims to be a large one.
TEST_F(TorchCheckpoint, RefusesOverlappingEntries) {
  const std::string dots(4096, '.');
  const std::string inner = zip_bytes({{"m/b", dots}});
  std::string bytes = zip_bytes({{"m/a", inner.substr(0, 30 + 3 + dots.size())}, {"m/b", ""}});
  ASSERT_TRUE(is_error(open(bytes), ErrorCode::kDataCorrupt, {"without NAME/data.pkl"}));
  // The second record of the directory now names the inner entry.
  const size_t record = bytes.rfind("PK\x01\x02"s);
  bytes.replace(record + 20, 8, raw_all<uint32_t>({4096, 4096}));
  bytes.replace(record + 42, 4, raw(uint32_t{30 + 3}));
  EXPECT_TRUE(is_error(open(bytes), ErrorCode::kDataCorrupt, {"'m/b': overlaps another entry"}));
}

}  // namespace
}  // namespace lyre::test
