#include <toml++/toml.h>
#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

#include "lyre/base/quote.h"
#include "lyre/settings.h"

namespace lyre::command {
namespace {

std::string where(const std::string& file, const toml::source_region& source) {
  return file + ":" + std::to_string(source.begin.line);
}

const Setting* find_setting(std::string_view key) {
  const auto table = settings_table();
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Setting& s) { return s.key == key; });
  return found == table.end() ? nullptr : &*found;
}

/// The value as it would be written as a flag.
Result<std::string> flag_text(const toml::node& node, const std::string& origin) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* truth = node.as_boolean()) return std::string(truth->get() ? "true" : "false");
  if (const auto* number = node.as_floating_point()) {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text.precision(17);
    text << number->get();
    return text.str();
  }
  if (const auto* list = node.as_array()) {
    std::string joined;
    for (const toml::node& item : *list) {
      const auto* text = item.as_string();
      if (text == nullptr) {
        return Error{ErrorCode::kInvalidArgument, origin + ": expected a list of strings"};
      }
      if (!joined.empty()) joined += ',';
      joined += text->get();
    }
    return joined;
  }
  return Error{ErrorCode::kInvalidArgument,
               origin + ": expected a string, a number, true or false, or a list of strings"};
}

/// A table of strings, "a=x,b=y".
Result<std::string> pairs_text(const toml::table& table, const std::string& origin) {
  std::string joined;
  for (const auto& [name, node] : table) {
    const auto* text = node.as_string();
    if (text == nullptr) {
      return Error{ErrorCode::kInvalidArgument,
                   origin + "." + std::string(name.str()) + ": expected a string"};
    }
    if (!joined.empty()) joined += ',';
    joined.append(name.str()).append("=").append(text->get());
  }
  return joined;
}

Status read_table(const toml::table& table, const std::string& prefix, const std::string& file,
                  GivenValues& given) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    const std::string origin = where(file, node.source());
    const Setting* setting = find_setting(key);
    if (setting == nullptr) {
      const auto* section = node.as_table();
      const bool known_section =
          section != nullptr &&
          std::any_of(settings_table().begin(), settings_table().end(), [&](const Setting& s) {
            return std::string_view(s.key).starts_with(key + ".");
          });
      if (known_section) {
        LYRE_RETURN_IF_ERROR(read_table(*section, key + ".", file, given));
        continue;
      }
      return Error{ErrorCode::kInvalidArgument, origin + ": unknown setting " + quote(key) +
                                                    "; 'lyre serve --help' lists the settings"};
    }
    const bool pairs = setting->kind == SettingKind::kPairs && node.is_table();
    LYRE_ASSIGN_OR_RETURN(std::string value, pairs
                                                 ? pairs_text(*node.as_table(), origin + ": " + key)
                                                 : flag_text(node, origin + ": " + key));
    const bool is_path = setting->kind == SettingKind::kPath ||
                         (setting->kind == SettingKind::kPathOrNone && value != kNone);
    if (is_path && !value.empty()) {
      value = std::filesystem::path(file).parent_path() / value;
    }
    given[key] = {std::move(value), origin + ": " + key};
  }
  return ok_status();
}

}  // namespace

Result<GivenValues> read_settings_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (!stream.is_open() || stream.bad()) {
    return Error{ErrorCode::kNotFound, "cannot read the settings file " + quote(file.string())};
  }
  toml::table table;
  try {
    table = toml::parse(text, file.string());
  } catch (const toml::parse_error& failure) {
    return Error{ErrorCode::kInvalidArgument, where(file.string(), failure.source()) + ": " +
                                                  std::string(failure.description())};
  }
  GivenValues given;
  LYRE_RETURN_IF_ERROR(read_table(table, "", file.string(), given));
  return given;
}

}  // namespace lyre::command
