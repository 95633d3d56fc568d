// GET /metrics: what there is to watch, in the text format of Prometheus. Everything is read from
// where it is counted at the moment of the request; a new metric is a line in collect().
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "lyre/server/process_usage.h"
#include "lyre/server/routes.h"
#include "lyre/server/server_state.h"

namespace lyre::server {
namespace {

using Labels = std::vector<prometheus::ClientMetric::Label>;

/// One name, its help, and its values.
class Family {
 public:
  Family(prometheus::MetricType type, std::string name, std::string help) {
    family_.type = type;
    family_.name = std::move(name);
    family_.help = std::move(help);
  }
  Family& add(double value, Labels labels = {}) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    (family_.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) =
        value;
    family_.metric.push_back(std::move(metric));
    return *this;
  }
  Family& add(const Histogram& histogram) {
    const Histogram::Snapshot now = histogram.snapshot();
    prometheus::ClientMetric metric;
    metric.histogram.sample_sum = now.sum;
    for (size_t i = 0; i < now.counts.size(); ++i) {
      metric.histogram.sample_count += now.counts[i];
      const double bound =
          i < now.bounds.size() ? now.bounds[i] : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({metric.histogram.sample_count, bound});
    }
    family_.metric.push_back(std::move(metric));
    return *this;
  }
  Family& add_times(const std::optional<RequestTimes::Times>& times) {
    if (!times) return *this;
    add(times->first_audio_ms / 1e3, {{"part", "first_audio"}});
    return add(times->total_ms / 1e3, {{"part", "total"}});
  }
  /// Without a value it is left out: "not yet" is no number.
  void to(std::vector<prometheus::MetricFamily>& families) {
    if (!family_.metric.empty()) families.push_back(std::move(family_));
  }

 private:
  prometheus::MetricFamily family_;
};

Family gauge(std::string name, std::string help) {
  return {prometheus::MetricType::Gauge, std::move(name), std::move(help)};
}

Family counter(std::string name, std::string help) {
  return {prometheus::MetricType::Counter, std::move(name), std::move(help)};
}

Family histogram(std::string name, std::string help) {
  return {prometheus::MetricType::Histogram, std::move(name), std::move(help)};
}

void collect_requests(const RequestCounts& counts,
                      std::vector<prometheus::MetricFamily>& families) {
  const RequestCounts::Totals totals = counts.totals();
  Family requests = counter("lyre_http_requests_total", "Requests that were answered.");
  for (const auto& [of, count] : totals.requests) {
    requests.add(static_cast<double>(count), {{"route", of.first}, {"status", of.second}});
  }
  requests.to(families);
  Family errors = counter("lyre_errors_total", "Error responses by their code.");
  for (const auto& [code, count] : totals.errors) {
    errors.add(static_cast<double>(count), {{"code", code}});
  }
  errors.to(families);
  Family speeches = counter("lyre_speech_total", "Requests for speech by how they ended.");
  for (const auto& [finish, count] : totals.speeches) {
    speeches.add(static_cast<double>(count), {{"finish", finish}});
  }
  speeches.to(families);
  gauge("lyre_http_in_flight", "Requests that are being answered.")
      .add(static_cast<double>(counts.in_flight))
      .to(families);
  gauge("lyre_connections", "Open connections.")
      .add(static_cast<double>(counts.connections))
      .to(families);
  histogram("lyre_queue_wait_seconds", "From the request to its place in the queue of speech.")
      .add(counts.queue_wait_s)
      .to(families);
  histogram("lyre_first_audio_seconds", "From the request to its first samples.")
      .add(counts.first_audio_s)
      .to(families);
  histogram("lyre_real_time_factor", "Time to send a speech, its wait left out, by its length.")
      .add(counts.real_time_factor)
      .to(families);
  counter("lyre_audio_seconds_total", "Length of the audio that was sent.")
      .add(totals.audio_s)
      .to(families);
  counter("lyre_speech_behind_total", "Streams that at some moment had sent less than was heard.")
      .add(static_cast<double>(totals.behind))
      .to(families);
  counter("lyre_prompt_tokens_total", "Tokens of the prompts of finished speech.")
      .add(static_cast<double>(totals.prompt_tokens))
      .to(families);
  counter("lyre_generated_tokens_total", "Tokens drawn for finished speech.")
      .add(static_cast<double>(totals.generated_tokens))
      .to(families);
  counter("lyre_frames_total", "Codec frames of finished speech.")
      .add(static_cast<double>(totals.frames))
      .to(families);
}

void collect_engine(const ServiceLoad& load, std::vector<prometheus::MetricFamily>& families) {
  gauge("lyre_engine_running", "Requests that the engine speaks.").add(load.running).to(families);
  gauge("lyre_engine_queued", "Requests that the engine has not begun.")
      .add(load.queued)
      .to(families);
  counter("lyre_engine_requests_total", "Requests to the engine by what became of them.")
      .add(static_cast<double>(load.requests_finished), {{"outcome", "finished"}})
      .add(static_cast<double>(load.requests_failed), {{"outcome", "failed"}})
      .add(static_cast<double>(load.requests_cancelled), {{"outcome", "cancelled"}})
      .add(static_cast<double>(load.requests_cut), {{"outcome", "cut"}})
      .to(families);
  gauge("lyre_kv_tokens_free", "Tokens of keys and values that are free.")
      .add(static_cast<double>(load.free_kv_tokens))
      .to(families);
  gauge("lyre_kv_tokens_total", "Tokens of keys and values that there are.")
      .add(static_cast<double>(load.total_kv_tokens))
      .to(families);
  counter("lyre_keep_warm_runs_total", "Times that the idle models were kept warm.")
      .add(static_cast<double>(load.keep_warm_runs))
      .to(families);
  counter("lyre_keep_warm_seconds_total", "Time of the engine thread that this took.")
      .add(load.keep_warm_seconds)
      .to(families);
}

void collect_process(std::vector<prometheus::MetricFamily>& families) {
  if (const auto bytes = resident_bytes()) {
    gauge("process_resident_memory_bytes", "Memory of the process in RAM.")
        .add(static_cast<double>(*bytes))
        .to(families);
  }
  if (const auto files = open_files()) {
    gauge("process_open_fds", "File descriptors that are open.")
        .add(static_cast<double>(*files))
        .to(families);
  }
}

std::vector<prometheus::MetricFamily> collect(const ServerState& state) {
  std::vector<prometheus::MetricFamily> families;
  const Readiness::Snapshot now = state.readiness().snapshot();
  const auto service = state.service();
  const bool healthy = service && service->health().ok();
  const ServiceLoad load = service ? service->load() : ServiceLoad();

  gauge("lyre_build_info", "1, with the version as label.")
      .add(1, {{"version", state.config().version}})
      .to(families);
  gauge("lyre_ready", "1 while requests for speech are let through.")
      .add(healthy && now.admits ? 1 : 0)
      .to(families);
  gauge("lyre_warm", "1 if the last warm-up was whole and nothing of it failed.")
      .add(now.warm() ? 1 : 0)
      .to(families);
  Family ready_seconds = gauge("lyre_ready_seconds", "From the start of the process to ready.");
  if (now.ready_ms) ready_seconds.add(*now.ready_ms / 1e3);
  ready_seconds.to(families);

  Family step_seconds = gauge("lyre_warmup_step_seconds", "Steps of the last warm-up.");
  Family expected = gauge("lyre_warmup_first_request_seconds",
                          "First audio of the warm-up's last request, measured by the server "
                          "through its own socket or by the engine.");
  if (now.last) {
    const WarmupReport& report = now.last->report;
    for (const WarmupStepReport& step : report.steps) {
      step_seconds.add(step.duration_ms / 1e3,
                       {{"step", step.name}, {"outcome", warmup_outcome_name(step.outcome)}});
    }
    if (report.first_request_ms) {
      expected.add(*report.first_request_ms / 1e3,
                   {{"by", now.last->first_request_by_server ? "server" : "engine"}});
    }
  }
  step_seconds.to(families);
  expected.to(families);
  counter("lyre_warmup_runs_total", "Warm-ups that have ended.").add(now.warmup_runs).to(families);

  const AdmissionQueue::Load queue = state.admission().load();
  gauge("lyre_queue_running", "Places that are taken: requests for speech in progress.")
      .add(queue.running)
      .to(families);
  gauge("lyre_queue_waiting", "Requests for speech that wait for a place.")
      .add(queue.waiting)
      .to(families);
  counter("lyre_queue_refused_total", "Requests for speech that found the queue full.")
      .add(static_cast<double>(queue.refused))
      .to(families);

  gauge("lyre_first_request_seconds", "The first request for speech after ready.")
      .add_times(state.request_times().first())
      .to(families);
  gauge("lyre_steady_request_seconds", "Median of the requests after it, the last 101.")
      .add_times(state.request_times().steady())
      .to(families);

  collect_requests(state.request_counts(), families);
  if (service) collect_engine(load, families);
  collect_process(families);
  return families;
}

HttpResponse metrics(const HttpRequest&, const ServerState& state) {
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, collect(state));
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = std::move(text).str();
  return response;
}

}  // namespace

void add_metrics(RouteTable& routes) { routes.add("GET", "/metrics", metrics); }

}  // namespace lyre::server
