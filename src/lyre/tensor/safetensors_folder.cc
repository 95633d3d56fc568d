#include <algorithm>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "lyre/base/quote.h"
#include "lyre/tensor/archive_builder.h"
#include "lyre/tensor/json_walk.h"
#include "lyre/tensor/mapped_file.h"
#include "lyre/tensor/out_of_memory.h"
#include "lyre/tensor/safetensors.h"

namespace lyre {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr int kMostDepth = 16;  // weight_map needs 2, but the metadata is free
constexpr size_t kMostIndexBytes = 100'000'000;

// A shard lies in the folder itself: a name that leads anywhere else is an attack.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

using TensorsOfShards = std::map<std::string, std::vector<std::string>>;

Result<TensorsOfShards> read_index(const std::filesystem::path& file) {
  const auto error = [&](const std::string& problem) {
    return Error{ErrorCode::kDataCorrupt, file.string() + ": " + problem};
  };
  LYRE_ASSIGN_OR_RETURN(const MappedFile mapped, MappedFile::open(file));
  if (mapped.bytes().size() > kMostIndexBytes) {
    return error("expected at most " + std::to_string(kMostIndexBytes) + " bytes, found " +
                 std::to_string(mapped.bytes().size()));
  }
  TensorsOfShards shards;
  bool has_weight_map = false;
  const auto visit = [&](const JsonNode& node) -> Status {
    if (node.path.empty() && node.kind != JsonNode::Kind::kObject) {
      return error("expected an object");
    }
    if (node.path.empty() || node.path[0] != "weight_map") return ok_status();
    if (node.path.size() == 1) {
      has_weight_map = true;
      if (node.kind != JsonNode::Kind::kObject) return error("weight_map: expected an object");
      return ok_status();
    }
    const std::string field = "weight_map " + quote(node.path[1]);
    if (node.kind != JsonNode::Kind::kString) return error(field + ": expected a file name");
    if (!is_plain_file_name(node.text)) {
      return error(field + ": expected the name of a file in this folder, found " +
                   quote(node.text));
    }
    shards[std::string(node.text)].push_back(node.path[1]);
    return ok_status();
  };
  LYRE_RETURN_IF_ERROR(json_walk(mapped.text(), file.string(), kMostDepth, visit));
  if (!has_weight_map) return error("weight_map is missing");
  return shards;
}

// What the index says, from where it says: a shard's other tensors are not part of the model.
Result<TensorArchive> open_shards(const std::filesystem::path& folder,
                                  const std::filesystem::path& index) {
  LYRE_ASSIGN_OR_RETURN(const TensorsOfShards shards, read_index(index));
  TensorArchiveBuilder builder;
  for (const auto& [shard, names] : shards) {
    Result<SafetensorsFile> opened = SafetensorsFile::open(folder / shard);
    if (!opened.ok()) {
      Error error = std::move(opened).error();
      if (error.code == ErrorCode::kNotFound) {
        error.message += " (a shard that " + index.string() + " names for " +
                         std::to_string(names.size()) + " tensors)";
      }
      return error;
    }
    const SafetensorsFile& file = *opened;
    std::map<std::string_view, const SafetensorsHeader::Entry*> entries;
    for (const auto& entry : file.header.entries) entries.emplace(entry.name, &entry);

    const size_t number = builder.add_file(file.path, file.mapping);
    for (const std::string& name : names) {
      const auto found = entries.find(name);
      if (found == entries.end()) {
        return Error{ErrorCode::kDataCorrupt, file.path.string() + ": tensor " + quote(name) +
                                                  ": expected here by " + index.string() +
                                                  ", found no such tensor"};
      }
      LYRE_RETURN_IF_ERROR(builder.add(name, file.view(*found->second), number));
    }
    for (const auto& [key, value] : file.header.metadata) builder.add_metadata(key, value);
  }
  return std::move(builder).finish();
}

// The first names of what lies there, for whoever gave the wrong folder.
std::string describe_contents(const std::filesystem::path& folder) {
  constexpr size_t kMostNames = 8;
  std::vector<std::string> names;
  std::error_code ec;
  for (std::filesystem::directory_iterator it(folder, ec), end; !ec && it != end;
       it.increment(ec)) {
    names.push_back(quote(it->path().filename().string(), 60));
  }
  if (ec) return "a folder that cannot be read: " + ec.message();
  if (names.empty()) return "an empty folder";
  std::sort(names.begin(), names.end());
  std::string text;
  for (size_t k = 0; k < std::min(names.size(), kMostNames); ++k) {
    text += (k > 0 ? ", " : "") + names[k];
  }
  if (names.size() > kMostNames) {
    text += " and " + std::to_string(names.size() - kMostNames) + " more";
  }
  return text;
}

Result<TensorArchive> open_folder(const std::filesystem::path& folder) {
  std::error_code ec;
  const std::filesystem::file_status status = std::filesystem::status(folder, ec);
  if (!std::filesystem::exists(status)) {
    return Error{ErrorCode::kNotFound, folder.string() + ": no such folder"};
  }
  if (!std::filesystem::is_directory(status)) {
    return Error{ErrorCode::kInvalidArgument,
                 folder.string() + ": expected a model folder, found a file"};
  }
  // A folder with both (a merge that left the shards) is read as transformers reads it.
  if (std::filesystem::exists(folder / kSingleFile, ec)) {
    return open_safetensors(folder / kSingleFile);
  }
  if (std::filesystem::exists(folder / kIndexFile, ec)) {
    return open_shards(folder, folder / kIndexFile);
  }
  return Error{ErrorCode::kNotFound, folder.string() + ": not a model folder: expected " +
                                         std::string(kSingleFile) + ", or " +
                                         std::string(kIndexFile) + " with its shards; found " +
                                         describe_contents(folder)};
}

}  // namespace

Result<TensorArchive> open_safetensors_folder(const std::filesystem::path& folder) {
  return catch_out_of_memory(folder, [&] { return open_folder(folder); });
}

}  // namespace lyre
