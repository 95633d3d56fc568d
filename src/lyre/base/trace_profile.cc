#include "lyre/base/trace_profile.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include "lyre/base/json_string.h"

namespace lyre::trace {
namespace {

constexpr double kLeastBottleneck = 0.01;  // of the whole

double in_ms(int64_t ns) { return static_cast<double>(ns) / 1e6; }

double mean_ms(const OperationTotals& operation) {
  return in_ms(operation.total_ns) / static_cast<double>(std::max<int64_t>(operation.count, 1));
}

double share(const Snapshot& snapshot, int64_t ns) {
  if (snapshot.duration_ns <= 0) return 0;
  return static_cast<double>(ns) / static_cast<double>(snapshot.duration_ns);
}

std::vector<const OperationTotals*> by_total(const Snapshot& snapshot) {
  std::vector<const OperationTotals*> sorted;
  for (const OperationTotals& operation : snapshot.operations) sorted.push_back(&operation);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto* a, const auto* b) { return a->total_ns > b->total_ns; });
  return sorted;
}

template <class... Values>
std::string print(const char* format, Values... values) {
  std::array<char, 256> line;
  const int size = std::snprintf(line.data(), line.size(), format, values...);
  return {line.data(), std::min(static_cast<size_t>(std::max(size, 0)), line.size() - 1)};
}

void append_number(std::string& out, double value) {
  std::array<char, 32> buffer;
  const auto [end, failure] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  out.append(buffer.data(), end);
}

void append_member(std::string& out, const char* key, double value) {
  out += ",\"";
  out += key;
  out += "\":";
  append_number(out, value);
}

}  // namespace

std::vector<std::string> bottlenecks(const Snapshot& snapshot, size_t most) {
  std::vector<const OperationTotals*> sorted;
  for (const OperationTotals& operation : snapshot.operations) {
    if (operation.category() == "wait") continue;
    if (share(snapshot, operation.self_ns) >= kLeastBottleneck) sorted.push_back(&operation);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto* a, const auto* b) { return a->self_ns > b->self_ns; });
  if (sorted.size() > most) sorted.resize(most);
  std::vector<std::string> names;
  for (const auto* operation : sorted) names.push_back(operation->name);
  return names;
}

std::string profile_table(const Snapshot& snapshot) {
  std::string out = print("profile of %.3f s\n", static_cast<double>(snapshot.duration_ns) / 1e9);
  out += print("%-24s %8s %10s %10s %10s %11s %8s %8s  %s\n", "operation", "count", "mean ms",
               "min ms", "max ms", "total ms", "share", "self", "what");
  for (const OperationTotals* operation : by_total(snapshot)) {
    std::string line = print(
        "%-24s %8lld %10.4f %10.4f %10.4f %11.2f %6.1f %% %6.1f %% ", operation->name.c_str(),
        static_cast<long long>(operation->count), mean_ms(*operation), in_ms(operation->min_ns),
        in_ms(operation->max_ns), in_ms(operation->total_ns),
        100 * share(snapshot, operation->total_ns), 100 * share(snapshot, operation->self_ns));
    for (const int i : {0, 1}) {
      if (operation->arguments[i].empty()) continue;
      line += ' ' + std::to_string(operation->argument_totals[i]) + ' ' + operation->arguments[i];
    }
    while (line.ends_with(' ')) line.pop_back();
    out += line + '\n';
  }
  const std::vector<std::string> worst = bottlenecks(snapshot);
  out += "bottlenecks:";
  for (size_t i = 0; i < worst.size(); ++i) {
    out += i == 0 ? " " : ", ";
    out += worst[i] + print(" %.1f %%", 100 * share(snapshot, snapshot.find(worst[i])->self_ns));
  }
  out += worst.empty() ? " none\n" : "\n";
  return out;
}

std::string profile_json(const Snapshot& snapshot) {
  std::string out = "{\"recording\":";
  out += snapshot.recording ? "true" : "false";
  append_member(out, "wall_ms", in_ms(snapshot.duration_ns));
  out += ",\"operations\":[";
  bool first = true;
  for (const OperationTotals* operation : by_total(snapshot)) {
    out += first ? "{\"name\":" : ",{\"name\":";
    first = false;
    append_json_string(out, operation->name);
    out += ",\"category\":";
    append_json_string(out, operation->category());
    out += ",\"count\":" + std::to_string(operation->count);
    append_member(out, "mean_ms", mean_ms(*operation));
    append_member(out, "min_ms", in_ms(operation->min_ns));
    append_member(out, "max_ms", in_ms(operation->max_ns));
    append_member(out, "total_ms", in_ms(operation->total_ns));
    append_member(out, "self_ms", in_ms(operation->self_ns));
    append_member(out, "share", share(snapshot, operation->total_ns));
    append_member(out, "self_share", share(snapshot, operation->self_ns));
    out += ",\"arguments\":{";
    bool first_argument = true;
    for (const int i : {0, 1}) {
      if (operation->arguments[i].empty()) continue;
      if (!first_argument) out += ',';
      first_argument = false;
      append_json_string(out, operation->arguments[i]);
      out += ':' + std::to_string(operation->argument_totals[i]);
    }
    out += "}}";
  }
  out += "],\"bottlenecks\":[";
  first = true;
  for (const std::string& name : bottlenecks(snapshot)) {
    out += first ? "{\"name\":" : ",{\"name\":";
    first = false;
    append_json_string(out, name);
    append_member(out, "self_share", share(snapshot, snapshot.find(name)->self_ns));
    out += '}';
  }
  out += "],\"threads\":[";
  first = true;
  for (const ThreadTrack& thread : snapshot.threads) {
    out += (first ? "{\"id\":" : ",{\"id\":") + std::to_string(thread.id) + ",\"name\":";
    first = false;
    append_json_string(out, thread.name);
    out += ",\"dropped_events\":" + std::to_string(thread.dropped_events) + '}';
  }
  out += "]}";
  return out;
}

}  // namespace lyre::trace
