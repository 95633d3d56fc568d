#include <gtest/gtest.h>

#include <string>

#include "lyre/base/json_string.h"
#include "lyre/base/trace_chart.h"
#include "lyre/base/trace_event_json.h"
#include "lyre/base/trace_profile.h"

namespace lyre::trace {
namespace {

constexpr int64_t kMs = 1'000'000;

/// Two threads: main opens two parts one after the other, the engine steps meanwhile.
Snapshot sample() {
  Snapshot shot;
  shot.process_id = 42;
  shot.duration_ns = 100 * kMs;
  shot.operations = {
      {.name = "lm.open",
       .arguments = {},
       .count = 1,
       .total_ns = 40 * kMs,
       .self_ns = 40 * kMs,
       .min_ns = 40 * kMs,
       .max_ns = 40 * kMs,
       .argument_totals = {}},
      {.name = "lm.step",
       .arguments = {"tokens", "batch"},
       .count = 2,
       .total_ns = 3 * kMs + 500,
       .self_ns = 3 * kMs + 500,
       .min_ns = kMs,
       .max_ns = 2 * kMs + 500,
       .argument_totals = {9, 2}},
      {.name = "server.write",
       .arguments = {"bytes", ""},
       .count = 1,
       .total_ns = 5 * kMs,
       .self_ns = 0,
       .min_ns = 5 * kMs,
       .max_ns = 5 * kMs,
       .argument_totals = {4096, 0}},
      {.name = "start.all",
       .arguments = {},
       .count = 1,
       .total_ns = 60 * kMs,
       .self_ns = 20 * kMs,
       .min_ns = 60 * kMs,
       .max_ns = 60 * kMs,
       .argument_totals = {}},
      {.name = "wait.work",
       .arguments = {},
       .count = 1,
       .total_ns = 90 * kMs,
       .self_ns = 90 * kMs,
       .min_ns = 90 * kMs,
       .max_ns = 90 * kMs,
       .argument_totals = {}},
  };
  shot.threads = {{.id = 42, .name = "main", .dropped_events = 0},
                  {.id = 43, .name = "the \"engine\"", .dropped_events = 7}};
  const auto event = [](int operation, int thread, int64_t begin, int64_t duration) {
    return Event{.operation = operation,
                 .thread = thread,
                 .begin_ns = begin,
                 .duration_ns = duration,
                 .arguments = {0, 0},
                 .detached = false};
  };
  shot.events = {event(3, 0, 0, 60 * kMs),
                 event(0, 0, 10 * kMs, 40 * kMs),
                 event(4, 1, kMs, 90 * kMs),
                 event(1, 1, 91 * kMs + 1, kMs),
                 event(1, 1, 93 * kMs, 2 * kMs + 500),
                 event(2, 1, 95 * kMs, 5 * kMs)};
  shot.events[3].arguments[0] = 8;
  shot.events[3].arguments[1] = 1;
  shot.events[5].arguments[0] = 4096;
  shot.events[5].detached = true;
  return shot;
}

TEST(JsonString, EscapesWhatMustBe) {
  std::string out = "x";
  append_json_string(out, "a\"b\\c\n\x01\xff é");
  EXPECT_EQ(out, "x\"a\\\"b\\\\c\\u000a\\u0001\\ufffd é\"");
}

TEST(TraceEventJson, IsLiterallyThis) {
  EXPECT_EQ(trace_event_json(sample()),
            R"({"displayTimeUnit":"ms","traceEvents":[
{"ph":"M","name":"process_name","pid":42,"tid":42,"args":{"name":"lyre"}},
{"ph":"M","name":"thread_name","pid":42,"tid":42,"args":{"name":"main"}},
{"ph":"M","name":"thread_name","pid":42,"tid":43,"args":{"name":"the \"engine\""}},
{"ph":"X","name":"start.all","cat":"start","ts":0.000,"dur":60000.000,"pid":42,"tid":42,"args":{}},
{"ph":"X","name":"lm.open","cat":"lm","ts":10000.000,"dur":40000.000,"pid":42,"tid":42,"args":{}},
{"ph":"X","name":"wait.work","cat":"wait","ts":1000.000,"dur":90000.000,"pid":42,"tid":43,"args":{}},
{"ph":"X","name":"lm.step","cat":"lm","ts":91000.001,"dur":1000.000,"pid":42,"tid":43,"args":{"tokens":8,"batch":1}},
{"ph":"X","name":"lm.step","cat":"lm","ts":93000.000,"dur":2000.500,"pid":42,"tid":43,"args":{"tokens":0,"batch":0}},
{"ph":"b","name":"server.write","cat":"server","ts":95000.000,"id":1,"pid":42,"tid":43,"args":{"bytes":4096}},
{"ph":"e","name":"server.write","cat":"server","ts":100000.000,"id":1,"pid":42,"tid":43,"args":{"bytes":4096}}
],"otherData":{"dropped_events":"7"}}
)");
}

TEST(TraceEventJson, OfNothingIsAFileAllTheSame) {
  EXPECT_EQ(trace_event_json(Snapshot{}),
            R"({"displayTimeUnit":"ms","traceEvents":[
{"ph":"M","name":"process_name","pid":0,"tid":0,"args":{"name":"lyre"}}
],"otherData":{"dropped_events":"0"}}
)");
}

TEST(TraceProfile, TableIsLiterallyThis) {
  EXPECT_EQ(profile_table(sample()),
            R"(profile of 0.100 s
operation                   count    mean ms     min ms     max ms    total ms    share     self  what
wait.work                       1    90.0000    90.0000    90.0000       90.00   90.0 %   90.0 %
start.all                       1    60.0000    60.0000    60.0000       60.00   60.0 %   20.0 %
lm.open                         1    40.0000    40.0000    40.0000       40.00   40.0 %   40.0 %
server.write                    1     5.0000     5.0000     5.0000        5.00    5.0 %    0.0 %  4096 bytes
lm.step                         2     1.5003     1.0000     2.0005        3.00    3.0 %    3.0 %  9 tokens 2 batch
bottlenecks: lm.open 40.0 %, start.all 20.0 %, lm.step 3.0 %
)");
}

TEST(TraceProfile, BottlenecksAreNoWaitingAndNotMoreThanAskedFor) {
  EXPECT_EQ(bottlenecks(sample(), 2), (std::vector<std::string>{"lm.open", "start.all"}));
  EXPECT_TRUE(bottlenecks(Snapshot{}).empty());
  EXPECT_TRUE(profile_table(Snapshot{}).ends_with("bottlenecks: none\n"));
}

TEST(TraceProfile, JsonIsLiterallyThis) {
  Snapshot shot = sample();
  shot.operations.resize(2);
  shot.events.clear();
  EXPECT_EQ(
      profile_json(shot),
      R"({"recording":false,"wall_ms":100,"operations":[)"
      R"({"name":"lm.open","category":"lm","count":1,"mean_ms":40,"min_ms":40,"max_ms":40,"total_ms":40,)"
      R"("self_ms":40,"share":0.4,"self_share":0.4,"arguments":{}},)"
      R"({"name":"lm.step","category":"lm","count":2,"mean_ms":1.50025,"min_ms":1,"max_ms":2.0005,)"
      R"("total_ms":3.0005,"self_ms":3.0005,"share":0.030005,"self_share":0.030005,)"
      R"("arguments":{"tokens":9,"batch":2}}],)"
      R"("bottlenecks":[{"name":"lm.open","self_share":0.4},{"name":"lm.step","self_share":0.030005}],)"
      R"("threads":[{"id":42,"name":"main","dropped_events":0},)"
      R"({"id":43,"name":"the \"engine\"","dropped_events":7}]})");
}

TEST(TraceChart, IsLiterallyThis) {
  EXPECT_EQ(chart(sample(), "start"),
            R"(start: 100.0 ms; left out: 7 spans shorter than 0.500 ms
main
  start.all                         |##############################                    |     60.0 ms
    lm.open                         |     ####################                         |     40.0 ms
the "engine"
  wait.work                         |##############################################    |     90.0 ms
  lm.step                           |                                             ##   |      1.0 ms
  lm.step                           |                                              ##  |      2.0 ms
  server.write                      |                                               ###|      5.0 ms
)");
}

TEST(TraceChart, LeavesOutTheShortestBeyondItsRows) {
  EXPECT_EQ(chart(sample(), "start", 5),
            R"(start: 100.0 ms; left out: 10 spans shorter than 5.000 ms
main
  start.all                         |##############################                    |     60.0 ms
    lm.open                         |     ####################                         |     40.0 ms
the "engine"
  wait.work                         |##############################################    |     90.0 ms
)");
}

TEST(TraceChart, FitsItsColumnsWhateverTheNames) {
  Snapshot shot = sample();
  for (OperationTotals& operation : shot.operations) operation.name.append(100, 'x');
  const std::string text = chart(shot, "start");
  size_t begin = text.find('\n') + 1;
  int rows = 0;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    EXPECT_LE(end - begin, 100u);
    begin = end + 1;
    ++rows;
  }
  EXPECT_EQ(rows, 8);
}

}  // namespace
}  // namespace lyre::trace
