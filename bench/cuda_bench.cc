// Language model and codec through their seams: one decode step and one push of a frame over
// growing batches, prefill, both together as the engine runs them, and what a fresh process pays
// first. Backend cuda, or cpu to try the program itself. A table on standard error, JSON on
// standard output; tools/gpu/bench_pytorch.py measures the same quantities in PyTorch.
//
//     cuda_bench LM_FOLDER CODEC_FOLDER [--backend cuda] [--weights stored|fp8] [--kv default|fp8]
//                [--batches 1,8,32,64,128,216] [--context 600] [--parts first,lm,codec,both]
//
// `first` opens, warms up and speaks a first frame against later ones, so it only says something in
// a process that does nothing before it. A decode step's bytes are computed: the matrices of all
// layers, the rows of the output matrix that the slots of the batch name, keys and values of the
// context. Sequences stand in different slots, as those of different requests do.

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lyre/base/cuda/gpus.h"
#include "lyre/base/thread_pool.h"
#include "lyre/codec/open_codec.h"
#include "lyre/codec/snac_config.h"
#include "lyre/engine/warmup_steps.h"
#include "lyre/lm/open_language_model.h"

namespace lyre {
namespace {

constexpr double kFrameMs = 1e3 * 2048 / 24000;  // audio of a frame

struct Arguments {
  std::filesystem::path model, codec;
  std::string backend = "cuda", weights = "stored", kv = "default";
  std::string parts = "first,lm,codec,both";
  std::vector<int> batches = {1, 8, 32, 64, 128, 216};
  std::vector<int> both = {64, 216};
  std::vector<int> prompts = {48, 200, 600};
  int context = 600;  // tokens in a sequence, mean over the timed steps
  int steps = 64;
  int pushes = 120;
  int periods = 24;
  int firsts = 40;  // requests after the first one
  int batch_tokens = 1024;
  int first_code = -1, codebook = 0;
  int threads = 0, device = 0;
  bool warmup = true;

  bool has(std::string_view part) const {
    return ("," + parts + ",").find("," + std::string(part) + ",") != std::string::npos;
  }
  int most() const {
    int most = *std::max_element(batches.begin(), batches.end());
    if (has("both")) most = std::max(most, *std::max_element(both.begin(), both.end()));
    return most;
  }
};

[[noreturn]] void give_up(const std::string& message) {
  std::fprintf(stderr, "cuda_bench: %s\n", message.c_str());
  std::exit(1);
}

template <class T>
T need(Result<T> result) {
  if (!result.ok()) give_up(result.error().message);
  return *std::move(result);
}

std::vector<int> numbers(std::string_view list) {
  std::vector<int> values;
  for (size_t at = 0; at < list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    values.push_back(std::atoi(std::string(list.substr(at, comma - at)).c_str()));
    at = comma + 1;
  }
  if (values.empty()) give_up("expected numbers with commas between them");
  return values;
}

Arguments parse(int count, char** words) {
  Arguments a;
  std::vector<std::string> folders;
  for (int i = 1; i < count; ++i) {
    const std::string_view flag = words[i];
    if (!flag.starts_with("--")) {
      folders.emplace_back(flag);
      continue;
    }
    if (i + 1 == count) give_up(std::string(flag) + ": expected a value");
    const std::string_view value = words[++i];
    if (flag == "--backend")
      a.backend = value;
    else if (flag == "--weights")
      a.weights = value;
    else if (flag == "--kv")
      a.kv = value;
    else if (flag == "--parts")
      a.parts = value;
    else if (flag == "--batches")
      a.batches = numbers(value);
    else if (flag == "--both")
      a.both = numbers(value);
    else if (flag == "--prompts")
      a.prompts = numbers(value);
    else if (flag == "--context")
      a.context = numbers(value)[0];
    else if (flag == "--steps")
      a.steps = numbers(value)[0];
    else if (flag == "--pushes")
      a.pushes = numbers(value)[0];
    else if (flag == "--periods")
      a.periods = numbers(value)[0];
    else if (flag == "--firsts")
      a.firsts = numbers(value)[0];
    else if (flag == "--batch-tokens")
      a.batch_tokens = numbers(value)[0];
    else if (flag == "--first-code")
      a.first_code = numbers(value)[0];
    else if (flag == "--codebook")
      a.codebook = numbers(value)[0];
    else if (flag == "--threads")
      a.threads = numbers(value)[0];
    else if (flag == "--device")
      a.device = numbers(value)[0];
    else if (flag == "--warmup")
      a.warmup = value != "0";
    else
      give_up("unknown: " + std::string(flag));
  }
  if (folders.size() != 2) give_up("expected the folders of the language model and of the codec");
  a.model = folders[0];
  a.codec = folders[1];
  if (a.backend != "cuda" && a.backend != "cpu") give_up("--backend: expected cuda or cpu");
  if (a.weights != "stored" && a.weights != "fp8" && a.weights != "int8")
    give_up("--weights: expected stored, fp8 or int8");
  if (a.kv != "default" && a.kv != "fp8") give_up("--kv: expected default or fp8");
  return a;
}

double now_ms() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Since the kernel made this process; its clock ticks every 10 ms.
double process_age_ms() {
  std::ifstream file("/proc/self/stat");
  const std::string all((std::istreambuf_iterator<char>(file)), {});
  const char* at = all.c_str() + all.rfind(')') + 1;
  unsigned long long start = 0;  // field 22, the twentieth behind the name
  if (std::sscanf(
          at, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
          &start) != 1) {
    return 0;
  }
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec) -
         1e3 * static_cast<double>(start) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

/// Milliseconds of repetitions.
class Times {
 public:
  void add(double ms) { all_.push_back(ms); }
  double quantile(double q) const {
    if (all_.empty()) return 0;
    std::vector<double> sorted = all_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))];
  }
  double median() const { return quantile(0.5); }

 private:
  std::vector<double> all_;
};

/// One line of the result: a JSON object, and a row of the table.
class Row {
 public:
  explicit Row(const char* name) : json_("{\"name\": \"" + std::string(name) + "\""), what_(name) {}

  Row& text(const char* key, const std::string& value) {
    json_ += ", \"" + std::string(key) + "\": \"" + value + "\"";
    what_ += ", " + value;
    return *this;
  }
  /// A size that the row is about.
  Row& size(const char* key, int value) {
    json_ += ", \"" + std::string(key) + "\": " + std::to_string(value);
    what_ += ", " + std::string(key) + " " + std::to_string(value);
    return *this;
  }
  Row& number(const char* key, double value, int digits = 4) {
    char line[64];
    std::snprintf(line, sizeof(line), "%.*f", digits, value);
    json_ += ", \"" + std::string(key) + "\": " + line;
    return *this;
  }
  /// With the column of the table.
  Row& shown(const char* key, double value, int digits = 2) {
    number(key, value, digits + 2);
    char line[96];
    std::snprintf(line, sizeof(line), "%s%s %.*f", figures_.empty() ? "" : ", ", key, digits,
                  value);
    figures_ += line;
    return *this;
  }
  Row& times(const Times& times) {
    p50_ = times.median();
    return number("ms_p10", times.quantile(0.1))
        .number("ms_p50", p50_)
        .number("ms_p90", times.quantile(0.9));
  }

  std::string json() const { return json_ + "}"; }
  void print() const {
    std::fprintf(stderr, "%-44s %10.4f ms   %s\n", what_.c_str(), p50_, figures_.c_str());
  }

 private:
  std::string json_, what_, figures_;
  double p50_ = 0;
};

class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : a_(arguments), age_at_main_ms_(process_age_ms()), threads_(arguments.threads) {
    const double begin = now_ms();
    const bool cuda = a_.backend == "cuda";
    if (needs_model()) {
      LanguageModelOptions options;
      options.folder = a_.model;
      options.backend = cuda ? LanguageModelBackend::kCuda : LanguageModelBackend::kCpu;
      options.weights = a_.weights == "fp8"    ? WeightFormat::kFp8
                        : a_.weights == "int8" ? WeightFormat::kInt8
                                               : WeightFormat::kAsStored;
      options.kv = a_.kv == "fp8" ? KvFormat::kFp8 : KvFormat::kDefault;
      options.max_sequences = a_.most();
      // The longest: the largest prompt, or the context and what the timed steps add on both sides.
      options.max_sequence_tokens =
          std::max(std::max(128, *std::max_element(a_.prompts.begin(), a_.prompts.end())),
                   a_.context + a_.steps * SliceResult::kMostTokens / 2 +
                       a_.periods * CodeLayout::kSlots / 2) +
          64;
      options.max_batch_tokens = std::max(a_.batch_tokens, options.max_sequences);
      options.device = a_.device;
      model_ = need(open_language_model(options, threads_));
    }
    model_open_ms_ = now_ms() - begin;
    if (needs_codec()) {
      CodecOptions options;
      options.folder = a_.codec;
      options.backend = cuda ? CodecBackend::kCuda : CodecBackend::kCpu;
      options.max_streams = a_.most();
      options.device = a_.device;
      codec_ = need(open_codec(options, threads_));
    }
    codec_open_ms_ = now_ms() - begin - model_open_ms_;
    if (needs_model()) choose_layout();
  }

  void run() {
    if (a_.warmup) warm_up();
    if (a_.has("first")) first();
    // Only now: both start the driver, or take memory.
    if (a_.backend == "cuda") {
      const std::vector<Gpu> gpus = list_gpus();
      if (static_cast<size_t>(a_.device) < gpus.size()) {
        machine_ = gpus[static_cast<size_t>(a_.device)].name;
      }
      auto bandwidth = measure_gpu_bandwidth(a_.device);
      if (bandwidth.ok()) {
        bandwidth_ = *bandwidth;
      } else {
        std::fprintf(stderr, "bandwidth: %s\n", bandwidth.error().message.c_str());
      }
    }
    if (a_.has("lm")) {
      for (const int tokens : a_.prompts) prefill(tokens);
      for (const int batch : a_.batches) decode(batch, 1);
      if (model_->info().draws_several) decode(1, CodeLayout::kSlots);
    }
    if (a_.has("codec")) {
      for (const int streams : a_.batches) push(streams);
      preview();
    }
    if (a_.has("both")) {
      for (const int batch : a_.both) together(batch);
    }
  }

  void print() const {
    std::printf("{\"bench\": \"lyre\", \"gpu\": \"%s\", \"weights\": \"%s\", \"kv\": \"%s\",\n",
                machine_.c_str(), a_.weights.c_str(), a_.kv.c_str());
    if (model_) {
      const LanguageModelInfo& i = model_->info();
      std::printf(
          " \"lm_backend\": \"%s\", \"lm_weights\": \"%s\", \"parameters\": %lld, "
          "\"weight_bytes\": %lld, \"kv_bytes_per_token\": %lld, \"kv_bytes\": %lld,\n",
          i.backend.c_str(), i.weights.c_str(), static_cast<long long>(i.parameters),
          static_cast<long long>(i.weight_bytes), static_cast<long long>(i.kv_bytes_per_token),
          static_cast<long long>(i.kv_bytes));
    }
    if (codec_) {
      const CodecInfo& i = codec_->info();
      std::printf(
          " \"codec_backend\": \"%s\", \"codec_parameters\": %lld, \"stream_state_bytes\": %lld,\n",
          i.backend.c_str(), static_cast<long long>(i.parameters),
          static_cast<long long>(i.stream_state_bytes));
    }
    std::printf(
        " \"context\": %d, \"read_gb_per_s\": %.1f, \"copy_gb_per_s\": %.1f, "
        "\"upload_gb_per_s\": %.1f,\n \"results\": [\n",
        a_.context, bandwidth_.read_bytes_per_second / 1e9, bandwidth_.copy_bytes_per_second / 1e9,
        bandwidth_.upload_bytes_per_second / 1e9);
    for (size_t i = 0; i < rows_.size(); ++i) {
      std::printf("  %s%s\n", rows_[i].json().c_str(), i + 1 < rows_.size() ? "," : "");
    }
    std::printf(" ]}\n");
  }

 private:
  bool needs_model() const { return a_.has("lm") || a_.has("first") || a_.has("both"); }
  bool needs_codec() const { return a_.has("codec") || a_.has("first") || a_.has("both"); }

  void done(Row row) {
    row.print();
    rows_.push_back(std::move(row));
  }

  // The codes' place: as given, else the last seven codebooks of the vocabulary.
  void choose_layout() {
    layout_.codebook_size = a_.codebook;
    if (a_.codebook == 0) {
      layout_.codebook_size = codec_
                                  ? codec_->info().codebook_size
                                  : need(read_snac_config(a_.codec / "config.json")).codebook_size;
    }
    layout_.codebook_size = std::min(layout_.codebook_size, model_->info().vocabulary / 7);
    layout_.first_code =
        a_.first_code >= 0 ? a_.first_code
                           : model_->info().vocabulary - CodeLayout::kSlots * layout_.codebook_size;
  }

  // --- the language model ---

  std::vector<TokenId> prompt(int tokens, int salt) const {
    std::vector<TokenId> ids;
    for (int i = 0; i < tokens; ++i) {
      ids.push_back((i * 7919 + salt * 104729 + 13) % model_->info().vocabulary);
    }
    return ids;
  }

  // Without stop ids: random weights would draw one now and then, and the batch would shrink.
  SequenceId open_sequence(int salt, int max_tokens) {
    SequenceOptions options;
    options.sampling.temperature = 0.6f;
    options.sampling.top_p = 0.9f;
    options.sampling.repetition_penalty = 1.1f;
    options.sampling.seed = static_cast<uint64_t>(salt);
    options.layout = layout_;
    options.max_tokens = max_tokens;
    return need(model_->open(options));
  }

  // `batch` sequences of about `tokens` tokens, each of which has drawn 1 to 7 of them: every slot
  // occurs.
  std::vector<SequenceId> filled_sequences(int batch, int tokens, int max_tokens) {
    std::vector<SequenceId> ids;
    std::vector<std::vector<TokenId>> prompts;
    for (int i = 0; i < batch; ++i) {
      ids.push_back(open_sequence(i, max_tokens));
      prompts.push_back(prompt(tokens - 1 - i % CodeLayout::kSlots, i));
    }
    std::vector<std::span<const TokenId>> left(prompts.begin(), prompts.end());
    const auto room = static_cast<size_t>(model_->info().max_batch_tokens);
    for (size_t at = 0; at < left.size();) {
      std::vector<Slice> slices;
      for (size_t used = 0; at < left.size() && used < room;) {
        const size_t chunk = std::min(left[at].size(), room - used);
        slices.push_back({ids[at], left[at].first(chunk), chunk == left[at].size() ? 1 : 0});
        left[at] = left[at].subspan(chunk);
        used += chunk;
        if (left[at].empty()) ++at;
      }
      std::vector<SliceResult> results(slices.size());
      need(model_->step(slices, results));
    }
    for (int draw = 1; draw < CodeLayout::kSlots; ++draw) {
      std::vector<Slice> slices;
      for (int i = 0; i < batch; ++i) {
        if (i % CodeLayout::kSlots >= draw) slices.push_back({ids[static_cast<size_t>(i)], {}, 1});
      }
      std::vector<SliceResult> results(slices.size());
      if (!slices.empty()) need(model_->step(slices, results));
    }
    return ids;
  }

  double step_bytes(int batch, double context, int tokens) const {
    const LanguageModelInfo& i = model_->info();
    const double layer_rows = 2.0 * (i.heads + i.kv_heads) * i.head_dim + 3.0 * i.ffn;
    double element =
        static_cast<double>(i.weight_bytes) / static_cast<double>(i.parameters);  // cpu
    double scales = 0;
    double head_element = element;
    if (a_.backend == "cuda") {
      element = a_.weights == "fp8" ? 1 : 2;
      head_element = 2;
      const double scaled_rows =
          (i.heads + 2.0 * i.kv_heads) * i.head_dim + 2.0 * i.hidden + 2.0 * i.ffn;
      scales = a_.weights == "fp8" ? 4 * i.layers * scaled_rows : 0;
    }
    const double head = std::min(batch, CodeLayout::kSlots) * 1.0 * layout_.codebook_size;
    const double weights =
        element * i.hidden * i.layers * layer_rows + scales + head_element * i.hidden * head;
    return tokens * (weights + batch * context * static_cast<double>(i.kv_bytes_per_token));
  }

  void decode(int batch, int most_tokens) {
    // The context in the middle of the timed steps is the one that was asked for.
    const int grown = a_.steps * most_tokens;
    const int start = std::max(16, a_.context - grown / 2);
    const int warm = 5;
    const int max_tokens =
        std::min(start + grown + (warm + 1) * most_tokens + 8, model_->info().max_sequence_tokens);
    const std::vector<SequenceId> ids =
        filled_sequences(batch, std::max(16, start - warm * most_tokens), max_tokens);
    std::vector<Slice> slices;
    for (const SequenceId id : ids) slices.push_back({id, {}, most_tokens});
    std::vector<SliceResult> results(slices.size());
    for (int step = 0; step < warm; ++step) need(model_->step(slices, results));
    Times times;
    for (int step = 0; step < a_.steps; ++step) {
      const double begin = now_ms();
      need(model_->step(slices, results));
      times.add(now_ms() - begin);
      for (const SliceResult& result : results) {
        if (result.count != most_tokens) give_up("a sequence has ended before its time");
      }
    }
    for (const SequenceId id : ids) model_->close(id);
    const double context = start + grown / 2.0;
    const double bytes = step_bytes(batch, context, most_tokens);
    const double ms = times.median();
    Row row("decode");
    row.size("batch", batch).size("tokens", most_tokens).times(times);
    row.shown("ms_per_token", ms / most_tokens, 3)
        .shown("tokens_per_s", 1e3 * batch * most_tokens / ms, 0)
        .shown("real_time_factor", ms / most_tokens * CodeLayout::kSlots / kFrameMs, 3)
        .number("context", context, 1)
        .number("bytes", bytes, 0)
        .shown("gb_per_s", bytes / ms / 1e6, 0);
    add_percent(row, bytes / ms / 1e6);
    done(std::move(row));
  }

  void add_percent(Row& row, double gb_per_s) const {
    if (bandwidth_.read_bytes_per_second > 0) {
      row.shown("percent_of_read_bandwidth", 1e11 * gb_per_s / bandwidth_.read_bytes_per_second, 1);
    }
  }

  void prefill(int tokens) {
    const std::vector<TokenId> ids = prompt(tokens, 1);
    Times times;
    const double begin_all = now_ms();
    for (int run = 0; run < 4 || (run < 32 && now_ms() - begin_all < 1500); ++run) {
      const SequenceId id = open_sequence(1, tokens + 8);
      const double begin = now_ms();
      take_prompt(id, ids);
      if (run >= 2) times.add(now_ms() - begin);
      model_->close(id);
    }
    const LanguageModelInfo& i = model_->info();
    const double flop = 2.0 * tokens * i.layers * i.hidden *
                        (2.0 * (i.heads + i.kv_heads) * i.head_dim + 3.0 * i.ffn);
    Row row("prefill");
    row.size("tokens", tokens).times(times);
    row.shown("tokens_per_s", 1e3 * tokens / times.median(), 0)
        .shown("tflop_per_s", flop / times.median() / 1e9, 1);
    done(std::move(row));
  }

  // Up to the first drawn token.
  void take_prompt(SequenceId id, std::span<const TokenId> ids) {
    const auto room = static_cast<size_t>(model_->info().max_batch_tokens);
    SliceResult result;
    while (!ids.empty()) {
      const size_t chunk = std::min(ids.size(), room);
      const Slice slice = {id, ids.first(chunk), chunk == ids.size() ? 1 : 0};
      need(model_->step({&slice, 1}, {&result, 1}));
      ids = ids.subspan(chunk);
    }
  }

  // --- the codec ---

  CodeFrame next_frame() {
    CodeFrame frame;
    for (int32_t& code : frame.codes) {
      random_ = random_ * 1664525u + 1013904223u;
      code = static_cast<int32_t>(random_ >> 8) % codec_->info().codebook_size;
    }
    return frame;
  }

  struct Streams {
    std::vector<CodecWork> work;
    std::vector<CodeFrame> frames;
    std::vector<PcmSpan> pcm;
  };

  Streams open_streams(int count) {
    Streams streams;
    streams.frames.resize(static_cast<size_t>(count));
    streams.work.resize(streams.frames.size());
    streams.pcm.resize(streams.frames.size());
    for (size_t i = 0; i < streams.work.size(); ++i) {
      streams.frames[i] = next_frame();
      streams.work[i].stream = need(codec_->open({.noise_seed = i, .noise = true}));
      streams.work[i].frames = {&streams.frames[i], 1};
    }
    return streams;
  }

  void close_streams(const Streams& streams) {
    for (const CodecWork& work : streams.work) codec_->close(work.stream);
  }

  void push(int count) {
    Streams streams = open_streams(count);
    Times times;
    for (int i = 0; i < a_.pushes + 10; ++i) {
      for (CodeFrame& frame : streams.frames) frame = next_frame();
      const double begin = now_ms();
      need(codec_->push(streams.work, streams.pcm));
      if (i >= 10) times.add(now_ms() - begin);
    }
    close_streams(streams);
    Row row("codec");
    row.size("batch", count).size("frames", 1).times(times);
    row.shown("real_time_factor", times.median() / kFrameMs, 4);
    done(std::move(row));
  }

  // The first frame of a new stream, decoded as if the speech ended there: what a fast start plays.
  void preview() {
    Times times;
    for (int i = 0; i < 60; ++i) {
      Streams streams = open_streams(1);
      streams.work[0].preview = true;
      const double begin = now_ms();
      need(codec_->push(streams.work, streams.pcm));
      if (i >= 10) times.add(now_ms() - begin);
      close_streams(streams);
    }
    Row row("codec_preview");
    row.size("batch", 1).size("frames", 1).times(times);
    done(std::move(row));
  }

  // --- a fresh process ---

  void warm_up() {
    const double begin = now_ms();
    if (model_) {
      run_steps(model_->warmup_steps());
      run_steps(language_model_shapes(*model_, layout_));
    }
    if (codec_) {
      run_steps(codec_->warmup_steps());
      run_steps(codec_shapes(*codec_));
    }
    warm_ms_ = now_ms() - begin;
  }

  static void run_steps(std::vector<WarmupStep> steps) {
    for (WarmupStep& step : steps) {
      while (true) {
        auto progress = step.run();
        if (!progress.ok()) {
          std::fprintf(stderr, "%s: %s\n", step.name.c_str(), progress.error().message.c_str());
          break;
        }
        if (*progress == WarmupStep::Progress::kDone) break;
      }
    }
  }

  // A prompt of 48 tokens, seven draws, one frame with its preview: what stands between a request
  // and its first audio.
  void first() {
    Times prompt_ms, draw_ms, push_ms, all_ms;
    double firsts[4] = {};
    const std::vector<TokenId> ids = prompt(48, 3);
    for (int i = 0; i <= a_.firsts; ++i) {
      const SequenceId id = open_sequence(3, 128);
      Streams streams = open_streams(1);
      streams.work[0].preview = true;
      const double begin = now_ms();
      take_prompt(id, ids);
      const double prompted = now_ms();
      const int most = model_->info().draws_several ? CodeLayout::kSlots - 1 : 1;
      for (int drawn = 1; drawn < CodeLayout::kSlots;) {
        const Slice slice = {id, {}, most};
        SliceResult result;
        need(model_->step({&slice, 1}, {&result, 1}));
        if (result.count == 0) give_up("a sequence draws nothing");
        drawn += result.count;
      }
      const double drawn = now_ms();
      need(codec_->push(streams.work, streams.pcm));
      const double end = now_ms();
      model_->close(id);
      close_streams(streams);
      if (i == 0) {
        firsts[0] = prompted - begin, firsts[1] = drawn - prompted, firsts[2] = end - drawn;
        firsts[3] = end - begin;
      } else {
        prompt_ms.add(prompted - begin), draw_ms.add(drawn - prompted), push_ms.add(end - drawn);
        all_ms.add(end - begin);
      }
    }
    Row start("start");
    start.text("warmup", a_.warmup ? "warm" : "no warm-up")
        .shown("main_ms", age_at_main_ms_, 0)
        .shown("lm_open_ms", model_open_ms_, 0)
        .shown("codec_open_ms", codec_open_ms_, 0)
        .shown("warm_ms", warm_ms_, 0)
        .shown("ready_ms", age_at_main_ms_ + model_open_ms_ + codec_open_ms_ + warm_ms_, 0);
    done(std::move(start));
    const std::pair<const char*, const Times*> kinds[] = {{"prompt of 48", &prompt_ms},
                                                          {"six draws", &draw_ms},
                                                          {"first push", &push_ms},
                                                          {"first audio", &all_ms}};
    for (size_t k = 0; k < 4; ++k) {
      Row row("first");
      row.text("what", kinds[k].first).times(*kinds[k].second);
      row.shown("first_ms", firsts[k], 3)
          .shown("first_over_steady", firsts[k] / kinds[k].second->median(), 2);
      done(std::move(row));
    }
  }

  // --- both ---

  // One round: a step of all sequences, and while it runs a push of the streams whose frame became
  // complete in the round before. A frame period is seven rounds, in which each stream is pushed
  // once.
  void together(int batch) {
    constexpr int kSlots = CodeLayout::kSlots;
    const int start = std::max(16, a_.context - a_.periods * kSlots / 2);
    const int most =
        std::min(start + (a_.periods + 2) * kSlots + 16, model_->info().max_sequence_tokens);
    const std::vector<SequenceId> ids = filled_sequences(batch, start, most);
    Streams streams = open_streams(batch);
    std::vector<Slice> slices;
    for (const SequenceId id : ids) slices.push_back({id, {}, 1});
    std::vector<SliceResult> results(slices.size());
    std::vector<CodecWork> groups[kSlots];
    for (size_t i = 0; i < streams.work.size(); ++i) {
      groups[i % kSlots].push_back(streams.work[i]);
    }
    Times times;
    for (int period = -1; period < a_.periods; ++period) {
      for (CodeFrame& frame : streams.frames) frame = next_frame();
      const double begin = now_ms();
      for (const std::vector<CodecWork>& group : groups) {
        need(model_->begin_step(slices, results));
        if (!group.empty()) {
          need(codec_->push(group, std::span(streams.pcm).first(group.size())));
        }
        need(model_->end_step());
      }
      if (period >= 0) times.add(now_ms() - begin);
    }
    for (const SequenceId id : ids) model_->close(id);
    close_streams(streams);
    Row row("both");
    row.size("batch", batch).times(times);
    row.shown("ms_per_step", times.median() / kSlots, 3)
        .shown("real_time_factor", times.median() / kFrameMs, 3);
    done(std::move(row));
  }

  Arguments a_;
  double age_at_main_ms_;
  ThreadPool threads_;
  std::unique_ptr<LanguageModel> model_;
  std::unique_ptr<Codec> codec_;
  CodeLayout layout_;
  double model_open_ms_ = 0, codec_open_ms_ = 0, warm_ms_ = 0;
  GpuBandwidth bandwidth_;
  std::string machine_;
  uint32_t random_ = 1;
  std::vector<Row> rows_;
};

}  // namespace
}  // namespace lyre

int main(int count, char** words) {
  lyre::Bench bench(lyre::parse(count, words));
  bench.run();
  bench.print();
  return 0;
}
