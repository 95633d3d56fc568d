#include "lyre/base/trace_chart.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace lyre::trace {
namespace {

constexpr int kLabelColumns = 36, kBarColumns = 50;
constexpr int64_t kLeastPart = 200;  // shorter than one of so many parts of the whole: left out

struct Row {
  const Event* event;
  int depth;
};

/// Events with their depth within their thread; detached ones stand beside all others.
std::vector<Row> rows_of(const Snapshot& snapshot) {
  std::vector<Row> rows;
  std::vector<const Event*> open;  // that the event at hand may lie in
  for (const Event& event : snapshot.events) {
    if (event.detached) {
      rows.push_back({&event, 0});
      continue;
    }
    while (!open.empty() && (open.back()->thread != event.thread ||
                             open.back()->begin_ns + open.back()->duration_ns <
                                 event.begin_ns + event.duration_ns)) {
      open.pop_back();
    }
    rows.push_back({&event, static_cast<int>(open.size())});
    open.push_back(&event);
  }
  return rows;
}

size_t rows_with(const std::vector<Row>& rows, int64_t least_ns) {
  size_t count = 0;
  int thread = -1;
  for (const Row& row : rows) {
    if (row.event->duration_ns < least_ns) continue;
    if (row.event->thread != thread) ++count;  // its name
    thread = row.event->thread;
    ++count;
  }
  return count;
}

/// A parent is never shorter than its child: whatever is shown stands under its parent.
int64_t least_duration(const std::vector<Row>& rows, int64_t whole_ns, size_t most_rows) {
  std::vector<int64_t> durations;
  for (const Row& row : rows) durations.push_back(row.event->duration_ns);
  std::sort(durations.begin(), durations.end());
  int64_t least = whole_ns / kLeastPart;
  for (const int64_t duration : durations) {
    if (rows_with(rows, least) <= most_rows) break;
    if (duration >= least) least = duration + 1;
  }
  return least;
}

template <class... Values>
std::string print(const char* format, Values... values) {
  std::array<char, 256> line;
  const int size = std::snprintf(line.data(), line.size(), format, values...);
  return {line.data(), std::min(static_cast<size_t>(std::max(size, 0)), line.size() - 1)};
}

double in_ms(int64_t ns) { return static_cast<double>(ns) / 1e6; }

std::string bar(const Event& event, int64_t whole_ns) {
  const auto column = [&](int64_t ns, int64_t rounded_up) {
    return std::clamp<int64_t>((ns * kBarColumns + rounded_up) / whole_ns, 0, kBarColumns);
  };
  const auto begin =
      static_cast<size_t>(std::min<int64_t>(column(event.begin_ns, 0), kBarColumns - 1));
  const auto end = static_cast<size_t>(column(event.begin_ns + event.duration_ns, whole_ns - 1));
  std::string cells(kBarColumns, ' ');
  for (size_t i = begin; i < std::max(end, begin + 1); ++i) cells[i] = '#';
  return cells;
}

}  // namespace

std::string chart(const Snapshot& snapshot, std::string_view title, int most_rows) {
  const int64_t whole_ns = std::max<int64_t>(snapshot.duration_ns, 1);
  const std::vector<Row> rows = rows_of(snapshot);
  const int64_t least_ns =
      least_duration(rows, whole_ns, static_cast<size_t>(std::max(most_rows, 0)));
  int64_t left_out = 0;
  for (const Row& row : rows) left_out += row.event->duration_ns < least_ns ? 1 : 0;
  for (const ThreadTrack& thread : snapshot.threads) left_out += thread.dropped_events;

  std::string out(title);
  out += print(": %.1f ms", in_ms(whole_ns));
  if (left_out > 0) {
    out += print("; left out: %lld spans shorter than %.3f ms", static_cast<long long>(left_out),
                 in_ms(least_ns));
  }
  out += '\n';
  int thread = -1;
  for (const Row& row : rows) {
    const Event& event = *row.event;
    if (event.duration_ns < least_ns) continue;
    if (event.thread != thread) {
      thread = event.thread;
      out += snapshot.threads[static_cast<size_t>(thread)].name + '\n';
    }
    std::string label(static_cast<size_t>(2 + 2 * row.depth), ' ');
    label += snapshot.operations[static_cast<size_t>(event.operation)].name;
    label.resize(kLabelColumns, ' ');
    out += label + '|' + bar(event, whole_ns) + '|' + print("%9.1f", in_ms(event.duration_ns)) +
           " ms\n";
  }
  return out;
}

}  // namespace lyre::trace
