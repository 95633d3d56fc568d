#include "lyre/base/trace_event_json.h"

#include <cstdlib>

#include "lyre/base/json_string.h"

namespace lyre::trace {
namespace {

void append_microseconds(std::string& out, int64_t ns) {
  const std::string fraction = std::to_string(std::abs(ns % 1000));
  if (ns < 0 && ns > -1000) out += '-';
  out += std::to_string(ns / 1000);
  out += '.';
  out.append(3 - fraction.size(), '0');
  out += fraction;
}

void append_place(std::string& out, int64_t process, int64_t thread) {
  out += R"(,"pid":)" + std::to_string(process) + R"(,"tid":)" + std::to_string(thread);
}

/// The name of a process or thread: metadata.
void append_name(std::string& out, const char* what, int64_t process, int64_t thread,
                 std::string_view name) {
  out += R"({"ph":"M","name":")";
  out += what;
  out += '"';
  append_place(out, process, thread);
  out += R"(,"args":{"name":)";
  append_json_string(out, name);
  out += "}}";
}

void append_arguments(std::string& out, const OperationTotals& operation, const Event& event) {
  out += R"(,"args":{)";
  bool first = true;
  for (const int i : {0, 1}) {
    if (operation.arguments[i].empty()) continue;
    if (!first) out += ',';
    first = false;
    append_json_string(out, operation.arguments[i]);
    out += ':' + std::to_string(event.arguments[i]);
  }
  out += '}';
}

}  // namespace

std::string trace_event_json(const Snapshot& snapshot) {
  std::string out;
  out.reserve(snapshot.events.size() * 128 + 1024);
  const int64_t process = snapshot.process_id;
  int64_t dropped = 0;
  out += R"({"displayTimeUnit":"ms","traceEvents":[)";
  out += '\n';
  append_name(out, "process_name", process, process, "lyre");
  for (const ThreadTrack& thread : snapshot.threads) {
    out += ",\n";
    append_name(out, "thread_name", process, thread.id, thread.name);
    dropped += thread.dropped_events;
  }
  int64_t pair = 0;
  for (const Event& event : snapshot.events) {
    const OperationTotals& operation = snapshot.operations[static_cast<size_t>(event.operation)];
    const int64_t thread = snapshot.threads[static_cast<size_t>(event.thread)].id;
    const auto head = [&](char phase, int64_t at) {
      out += ",\n{\"ph\":\"";
      out += phase;
      out += R"(","name":)";
      append_json_string(out, operation.name);
      out += R"(,"cat":)";
      append_json_string(out, operation.category());
      out += R"(,"ts":)";
      append_microseconds(out, at);
    };
    if (!event.detached) {
      head('X', event.begin_ns);
      out += R"(,"dur":)";
      append_microseconds(out, event.duration_ns);
      append_place(out, process, thread);
      append_arguments(out, operation, event);
      out += '}';
      continue;
    }
    ++pair;
    for (const char phase : {'b', 'e'}) {
      head(phase, event.begin_ns + (phase == 'e' ? event.duration_ns : 0));
      out += R"(,"id":)" + std::to_string(pair);
      append_place(out, process, thread);
      append_arguments(out, operation, event);
      out += '}';
    }
  }
  out += "\n],\"otherData\":{\"dropped_events\":\"" + std::to_string(dropped) + "\"}}\n";
  return out;
}

}  // namespace lyre::trace
