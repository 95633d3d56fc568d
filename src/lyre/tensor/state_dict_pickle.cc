#include "lyre/tensor/state_dict_pickle.h"

#include <array>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>

#include "lyre/base/check.h"
#include "lyre/base/quote.h"
#include "lyre/base/utf8.h"

namespace lyre {
namespace {

// A tensor takes about 130 bytes: enough for a hundred thousand, and a bound of the memory, since
// every value of the machine costs at least one byte of pickle.
constexpr size_t kMostPickleBytes = size_t{16} << 20;
constexpr size_t kMostGlobalBytes = 128;

enum class Global : uint8_t { kOrderedDict, kRebuildTensor, kRebuildParameter, kStorageType };

struct KnownGlobal {
  std::string_view module, name;
  Global global;
  DType dtype = DType::kF32;  // of a storage type
};

constexpr std::array<KnownGlobal, 14> kGlobals{{
    {"collections", "OrderedDict", Global::kOrderedDict},
    {"torch._utils", "_rebuild_tensor_v2", Global::kRebuildTensor},
    {"torch._utils", "_rebuild_parameter", Global::kRebuildParameter},
    {"torch.nn.parameter", "Parameter", Global::kRebuildParameter},
    {"torch", "DoubleStorage", Global::kStorageType, DType::kF64},
    {"torch", "FloatStorage", Global::kStorageType, DType::kF32},
    {"torch", "HalfStorage", Global::kStorageType, DType::kF16},
    {"torch", "BFloat16Storage", Global::kStorageType, DType::kBF16},
    {"torch", "LongStorage", Global::kStorageType, DType::kI64},
    {"torch", "IntStorage", Global::kStorageType, DType::kI32},
    {"torch", "ShortStorage", Global::kStorageType, DType::kI16},
    {"torch", "CharStorage", Global::kStorageType, DType::kI8},
    {"torch", "ByteStorage", Global::kStorageType, DType::kU8},
    {"torch", "BoolStorage", Global::kStorageType, DType::kBool},
}};

// Python objects live in an arena and refer to one another by number, so that a shared or even
// cyclic structure needs neither ownership nor recursion.
using ObjectId = uint32_t;

struct Object {
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInt,
    kText,
    kTuple,
    kDict,
    kGlobal,
    kStorage,
    kTensor
  };
  Kind kind = Kind::kNone;
  uint8_t global = 0;          // kGlobal: row of kGlobals
  int64_t integer = 0;         // kInt; kTensor: number of the tensor
  std::string_view text = {};  // kText: UTF-8 in the pickle
  // kTuple; kDict: key, value, key, value; kStorage: as persistent_id has them.
  std::vector<ObjectId> items = {};
};

const char* kind_name(Object::Kind kind) {
  constexpr std::array kNames = {"None",   "a bool",   "an int",    "a string", "a tuple",
                                 "a dict", "a global", "a storage", "a tensor"};
  return kNames[static_cast<size_t>(kind)];
}

class Unpickler {
 public:
  Unpickler(std::span<const std::byte> pickle, std::string_view where)
      : pickle_(reinterpret_cast<const char*>(pickle.data()), pickle.size()), where_(where) {}

  Result<std::vector<PickledTensor>> read() {
    if (pickle_.size() > kMostPickleBytes) {
      return error("expected at most " + std::to_string(kMostPickleBytes) + " bytes, found " +
                   std::to_string(pickle_.size()));
    }
    while (!stopped_) LYRE_RETURN_IF_ERROR(step());
    if (at_ != pickle_.size()) return error("expected the end after STOP");
    if (stack_.size() != 1 || !marks_.empty()) return error("expected one value at STOP");
    return named_tensors(stack_.back());
  }

 private:
  using Kind = Object::Kind;

  Error error(const std::string& problem) const {
    return {ErrorCode::kDataCorrupt, std::string(where_) + ": pickle at byte " +
                                         std::to_string(opcode_at_) + ": " + problem};
  }

  Object& object(ObjectId id) { return objects_[id]; }

  // --- input ---

  Result<std::string_view> take(size_t bytes) {
    if (bytes > pickle_.size() - at_) return error("truncated");
    at_ += bytes;
    return pickle_.substr(at_ - bytes, bytes);
  }

  template <class T>
  Result<T> take_number() {
    LYRE_ASSIGN_OR_RETURN(const std::string_view bytes, take(sizeof(T)));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));  // little-endian, as the host is
    return value;
  }

  Result<std::string_view> take_line() {
    const size_t end = pickle_.substr(at_, kMostGlobalBytes).find('\n');
    if (end == std::string_view::npos) return error("GLOBAL: the name has no end");
    const std::string_view line = pickle_.substr(at_, end);
    at_ += end + 1;
    return line;
  }

  // --- stack ---

  ObjectId push(Object value) {
    objects_.push_back(std::move(value));
    stack_.push_back(static_cast<ObjectId>(objects_.size() - 1));
    return stack_.back();
  }
  void push_int(int64_t value) { push({.kind = Kind::kInt, .integer = value}); }

  // Values above the innermost mark.
  size_t available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

  Result<ObjectId> pop() {
    if (available() == 0) return error("the stack is empty");
    const ObjectId id = stack_.back();
    stack_.pop_back();
    return id;
  }

  Result<std::vector<ObjectId>> pop_many(size_t count) {
    if (available() < count) return error("the stack is empty");
    std::vector<ObjectId> items(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  Result<std::vector<ObjectId>> pop_to_mark() {
    if (marks_.empty()) return error("expected a MARK before");
    LYRE_ASSIGN_OR_RETURN(std::vector<ObjectId> items, pop_many(available()));
    marks_.pop_back();
    return items;
  }

  // --- opcodes ---

  Status step() {
    opcode_at_ = at_;
    LYRE_ASSIGN_OR_RETURN(const auto opcode, take_number<uint8_t>());
    switch (opcode) {
      case 0x80: {  // PROTO
        LYRE_ASSIGN_OR_RETURN(const auto protocol, take_number<uint8_t>());
        if (protocol != 2) {
          return error("expected pickle protocol 2, found " + std::to_string(protocol));
        }
        return ok_status();
      }
      case '.':  // STOP
        stopped_ = true;
        return ok_status();
      case '(':  // MARK
        marks_.push_back(stack_.size());
        return ok_status();
      case 'N':  // NONE
        push({});
        return ok_status();
      case 0x88:  // NEWTRUE
      case 0x89:  // NEWFALSE
        push({.kind = Kind::kBool});
        return ok_status();
      case 'K': {  // BININT1
        LYRE_ASSIGN_OR_RETURN(const auto value, take_number<uint8_t>());
        push_int(value);
        return ok_status();
      }
      case 'M': {  // BININT2
        LYRE_ASSIGN_OR_RETURN(const auto value, take_number<uint16_t>());
        push_int(value);
        return ok_status();
      }
      case 'J': {  // BININT
        LYRE_ASSIGN_OR_RETURN(const auto value, take_number<int32_t>());
        push_int(value);
        return ok_status();
      }
      case 0x8A:  // LONG1
        return long1();
      case 'X':  // BINUNICODE
        return unicode();
      case '}':  // EMPTY_DICT
        push({.kind = Kind::kDict});
        return ok_status();
      case ')':  // EMPTY_TUPLE
        push({.kind = Kind::kTuple});
        return ok_status();
      case 0x85:    // TUPLE1
      case 0x86:    // TUPLE2
      case 0x87: {  // TUPLE3
        LYRE_ASSIGN_OR_RETURN(auto items, pop_many(opcode - 0x84u));
        push({.kind = Kind::kTuple, .items = std::move(items)});
        return ok_status();
      }
      case 't': {  // TUPLE
        LYRE_ASSIGN_OR_RETURN(auto items, pop_to_mark());
        push({.kind = Kind::kTuple, .items = std::move(items)});
        return ok_status();
      }
      case 's': {  // SETITEM
        LYRE_ASSIGN_OR_RETURN(const auto items, pop_many(2));
        return set_items(items);
      }
      case 'u': {  // SETITEMS
        LYRE_ASSIGN_OR_RETURN(const auto items, pop_to_mark());
        return set_items(items);
      }
      case 'q': {  // BINPUT
        LYRE_ASSIGN_OR_RETURN(const auto slot, take_number<uint8_t>());
        return remember(slot);
      }
      case 'r': {  // LONG_BINPUT
        LYRE_ASSIGN_OR_RETURN(const auto slot, take_number<uint32_t>());
        return remember(slot);
      }
      case 'h': {  // BINGET
        LYRE_ASSIGN_OR_RETURN(const auto slot, take_number<uint8_t>());
        return recall(slot);
      }
      case 'j': {  // LONG_BINGET
        LYRE_ASSIGN_OR_RETURN(const auto slot, take_number<uint32_t>());
        return recall(slot);
      }
      case 'c':  // GLOBAL
        return global();
      case 'Q':  // BINPERSID
        return persistent_id();
      case 'R':  // REDUCE
        return reduce();
      case 'b':  // BUILD
        return build();
      default:
        return unknown_opcode(opcode);
    }
  }

  Error unknown_opcode(uint8_t opcode) const {
    constexpr char kHex[] = "0123456789abcdef";
    const char printable = static_cast<char>(opcode);
    return error(std::string("opcode 0x") + kHex[opcode >> 4] + kHex[opcode & 15] + " " +
                 quote({&printable, 1}) + " is not one of a state dict; nothing was executed");
  }

  Status long1() {
    LYRE_ASSIGN_OR_RETURN(const auto size, take_number<uint8_t>());
    if (size > 8) return error("LONG1: expected at most 8 bytes, found " + std::to_string(size));
    LYRE_ASSIGN_OR_RETURN(const std::string_view bytes, take(size));
    // Little-endian two's complement of `size` bytes.
    uint64_t value = 0;
    for (size_t k = 0; k < bytes.size(); ++k) {
      value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[k])) << (8 * k);
    }
    if (size > 0 && size < 8 && (value >> (8 * size - 1)) != 0) value |= ~uint64_t{0} << (8 * size);
    push_int(static_cast<int64_t>(value));
    return ok_status();
  }

  Status unicode() {
    LYRE_ASSIGN_OR_RETURN(const auto size, take_number<uint32_t>());
    LYRE_ASSIGN_OR_RETURN(const std::string_view text, take(size));
    if (const auto bad = find_invalid_utf8(text)) {
      return error("string " + quote(text) + ": invalid UTF-8 at its byte " + std::to_string(*bad));
    }
    push({.kind = Kind::kText, .text = text});
    return ok_status();
  }

  Status remember(uint32_t slot) {
    if (available() == 0) return error("the stack is empty");
    memo_[slot] = stack_.back();
    return ok_status();
  }

  Status recall(uint32_t slot) {
    const auto found = memo_.find(slot);
    if (found == memo_.end()) return error("memo " + std::to_string(slot) + " was never set");
    stack_.push_back(found->second);
    return ok_status();
  }

  Status set_items(std::span<const ObjectId> items) {
    if (items.size() % 2 != 0) return error("expected pairs of key and value");
    if (available() == 0 || object(stack_.back()).kind != Kind::kDict) {
      return error("expected a dict below the items");
    }
    auto& all = object(stack_.back()).items;
    all.insert(all.end(), items.begin(), items.end());
    return ok_status();
  }

  Status global() {
    LYRE_ASSIGN_OR_RETURN(const std::string_view module, take_line());
    LYRE_ASSIGN_OR_RETURN(const std::string_view name, take_line());
    for (size_t row = 0; row < kGlobals.size(); ++row) {
      if (kGlobals[row].module == module && kGlobals[row].name == name) {
        push({.kind = Kind::kGlobal, .global = static_cast<uint8_t>(row)});
        return ok_status();
      }
    }
    return error("global " + quote(std::string(module) + "." + std::string(name)) +
                 " is not one of a state dict; nothing was executed");
  }

  // ("storage", storage type, key, location, elements). The location ("cuda:0") is where the tensor
  // was, which is nothing to us.
  Status persistent_id() {
    LYRE_ASSIGN_OR_RETURN(const ObjectId id, pop());
    const Object& tuple = object(id);
    constexpr std::array kExpected = {Kind::kText, Kind::kGlobal, Kind::kText, Kind::kText,
                                      Kind::kInt};
    if (!is_tuple_of(tuple, kExpected) || object(tuple.items[0]).text != "storage" ||
        kGlobals[object(tuple.items[1]).global].global != Global::kStorageType ||
        object(tuple.items[4]).integer < 0) {
      return error("persistent id: expected ('storage', type, key, location, elements)");
    }
    push({.kind = Kind::kStorage, .items = tuple.items});
    return ok_status();
  }

  bool is_tuple_of(const Object& tuple, std::span<const Kind> kinds) {
    if (tuple.kind != Kind::kTuple || tuple.items.size() < kinds.size()) return false;
    for (size_t k = 0; k < kinds.size(); ++k) {
      if (object(tuple.items[k]).kind != kinds[k]) return false;
    }
    return true;
  }

  // A call: only what it would return is made.
  Status reduce() {
    LYRE_ASSIGN_OR_RETURN(const auto call, pop_many(2));
    const Object& callee = object(call[0]);
    const Object& arguments = object(call[1]);
    if (callee.kind != Kind::kGlobal || arguments.kind != Kind::kTuple) {
      return error("REDUCE: expected a known global and a tuple, found " +
                   std::string(kind_name(callee.kind)) + " and " + kind_name(arguments.kind));
    }
    const KnownGlobal& known = kGlobals[callee.global];
    switch (known.global) {
      case Global::kOrderedDict:
        if (!arguments.items.empty()) return error("OrderedDict: expected no arguments");
        push({.kind = Kind::kDict});
        return ok_status();
      case Global::kRebuildTensor:
        return rebuild_tensor(arguments);
      case Global::kRebuildParameter:
        if (arguments.items.empty() || object(arguments.items[0]).kind != Kind::kTensor) {
          return error(std::string(known.name) + ": expected a tensor as first argument");
        }
        stack_.push_back(arguments.items[0]);
        return ok_status();
      case Global::kStorageType:
        break;
    }
    return error("REDUCE: " + std::string(known.name) + " is not called in a state dict");
  }

  // (storage, offset, sizes, strides, requires_grad, backward_hooks[, metadata]). The metadata can
  // ask for a negated or conjugated reading of the data, so it must be absent.
  Status rebuild_tensor(const Object& arguments) {
    constexpr std::array kExpected = {Kind::kStorage, Kind::kInt, Kind::kTuple, Kind::kTuple};
    const auto& items = arguments.items;
    if (!is_tuple_of(arguments, kExpected) ||
        !(items.size() == 6 || (items.size() == 7 && object(items[6]).kind == Kind::kNone))) {
      return error(
          "_rebuild_tensor_v2: expected (storage, offset, sizes, strides, requires_grad, "
          "hooks)");
    }
    const auto& storage = object(items[0]).items;
    PickledTensor tensor{.name = {},
                         .storage = std::string(object(storage[2]).text),
                         .dtype = kGlobals[object(storage[1]).global].dtype,
                         .storage_elements = object(storage[4]).integer,
                         .offset_elements = object(items[1]).integer,
                         .shape = {},
                         .strides = {}};
    LYRE_ASSIGN_OR_RETURN(tensor.shape, sizes_of(object(items[2]), "sizes"));
    LYRE_ASSIGN_OR_RETURN(tensor.strides, sizes_of(object(items[3]), "strides"));
    if (tensor.strides.rank() != tensor.shape.rank()) {
      return error("_rebuild_tensor_v2: expected as many strides as sizes, found " +
                   tensor.strides.to_string() + " for " + tensor.shape.to_string());
    }
    if (tensor.offset_elements < 0) return error("_rebuild_tensor_v2: the offset is negative");
    tensors_.push_back(std::move(tensor));
    push({.kind = Kind::kTensor, .integer = static_cast<int64_t>(tensors_.size() - 1)});
    return ok_status();
  }

  Result<Shape> sizes_of(const Object& tuple, const char* what) {
    const auto refuse = [&](const std::string& expected) {
      return error(std::string("_rebuild_tensor_v2: ") + what + ": expected " + expected);
    };
    if (tuple.items.size() > Shape::kMostDims) {
      return refuse("at most " + std::to_string(Shape::kMostDims) + ", found " +
                    std::to_string(tuple.items.size()));
    }
    Shape shape;
    for (const ObjectId id : tuple.items) {
      if (object(id).kind != Kind::kInt || object(id).integer < 0) {
        return refuse("integers of at least 0");
      }
      shape.append(object(id).integer);
    }
    return shape;
  }

  // Attributes of an OrderedDict (`_metadata`, the versions of the modules): not needed.
  Status build() {
    LYRE_ASSIGN_OR_RETURN(const ObjectId state, pop());
    if (available() == 0 || object(stack_.back()).kind != Kind::kDict ||
        object(state).kind != Kind::kDict) {
      return error("BUILD: expected a dict with a dict of attributes");
    }
    return ok_status();
  }

  // --- result ---

  Result<std::vector<PickledTensor>> named_tensors(ObjectId root) {
    const Object& dict = object(root);
    if (dict.kind != Kind::kDict) {
      return error(std::string("expected a state dict, found ") + kind_name(dict.kind));
    }
    std::vector<PickledTensor> named;
    named.reserve(dict.items.size() / 2);
    for (size_t k = 0; k < dict.items.size(); k += 2) {
      const Object& key = object(dict.items[k]);
      const Object& value = object(dict.items[k + 1]);
      if (key.kind != Kind::kText) {
        return error(std::string("expected names as keys of the state dict, found ") +
                     kind_name(key.kind));
      }
      if (value.kind != Kind::kTensor) {
        return error("entry " + quote(key.text) + ": expected a tensor, found " +
                     kind_name(value.kind));
      }
      named.push_back(tensors_[static_cast<size_t>(value.integer)]);
      named.back().name = key.text;
    }
    return named;
  }

  std::string_view pickle_;
  std::string_view where_;
  size_t at_ = 0;
  size_t opcode_at_ = 0;  // for error messages
  bool stopped_ = false;
  std::vector<Object> objects_;
  std::vector<ObjectId> stack_;
  std::vector<size_t> marks_;  // sizes of the stack at each open MARK
  std::unordered_map<uint32_t, ObjectId> memo_;
  std::vector<PickledTensor> tensors_;  // without names
};

}  // namespace

Result<std::vector<PickledTensor>> read_state_dict_pickle(std::span<const std::byte> pickle,
                                                          std::string_view where) {
  return Unpickler(pickle, where).read();
}

}  // namespace lyre
