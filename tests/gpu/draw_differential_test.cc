// Draws on the device against draw_token() and SequenceTable::draw(): the same tokens and the same
// state afterwards.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gpu/need_gpu.h"
#include "lyre/base/cuda/device.h"
#include "lyre/base/cuda/memory.h"
#include "lyre/base/cuda/queue.h"
#include "lyre/base/philox.h"
#include "lyre/lm/cuda/draw.h"
#include "lyre/lm/sequence_table.h"

namespace lyre::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr int kDraws = SliceResult::kMostTokens;

// Where the codes lie. `legal` false: all ids may be drawn.
struct Layout {
  std::string name;
  int vocabulary;
  bool legal;
  CodeLayout codes;
};

const Layout kLayouts[] = {
    // A stop id below the codes, two above and one inside those of slot 0.
    {"Codes64",
     600,
     true,
     {.first_code = 101, .codebook_size = 64, .stop_ids = {7, 120, 598, 599}}},
    {"Codes1024", 7696, true, {.first_code = 512, .codebook_size = 1024, .stop_ids = {511, 7680}}},
    {"Codes4096",
     156940,
     true,
     {.first_code = 128266, .codebook_size = 4096, .stop_ids = {128009, 128258, 156939}}},
    // More than a block keeps.
    {"Codes9001",
     63100,
     true,
     {.first_code = 13, .codebook_size = 9001, .stop_ids = {0, 12, 63020}}},
    {"OneCode", 9, true, {.first_code = 1, .codebook_size = 1, .stop_ids = {}}},
    {"All33", 33, false, {.first_code = 0, .codebook_size = 0, .stop_ids = {32}}},
    {"All7696", 7696, false, {.first_code = 0, .codebook_size = 0, .stop_ids = {3}}},
    {"All8193", 8193, false, {.first_code = 0, .codebook_size = 0, .stop_ids = {8192}}},
    {"All156940", 156940, false, {.first_code = 0, .codebook_size = 0, .stop_ids = {128258}}},
};

std::vector<SamplingParams> params_table(bool legal) {
  struct Row {
    float temperature, top_p;
    int top_k;
    float min_p, penalty;
  };
  static constexpr Row kRows[] = {
      {0, 0.9f, 0, 0, 1},         {0, 1, 0, 0, 1.3f},
      {0, 0.5f, 3, 0.5f, 1.1f},   {1, 1, 0, 0, 1},
      {1, 1, 0, 0, 1.3f},         {0.6f, 0.9f, 0, 0, 1.1f},
      {0.6f, 0.8f, 0, 0, 1.3f},   {1, 0.1f, 0, 0, 1},
      {2.5f, 0.95f, 0, 0, 0.7f},  {1, 1, 1, 0, 1},
      {1, 1, 40, 0, 1},           {0.8f, 1, 40, 0, 1.1f},
      {0.8f, 0.9f, 40, 0, 1.1f},  {1, 0.8f, 5, 0, 1},
      {1, 1, 0, 0.05f, 1},        {1, 0.9f, 0, 0.05f, 1.1f},
      {1, 0.9f, 50, 0.02f, 1.1f}, {100, 0.9f, 0, 0, 1},
      {100, 1, 0, 0, 1.1f},       {1e-3f, 0.9f, 0, 0, 1},
      {1, 0.9999999f, 0, 0, 1},   {1, 1e-6f, 0, 0, 1},
      {1, 0.9f, 1000000, 0, 1},   {0.6f, 0.9f, 2000, 0.999f, 1.1f},
      {3e-41f, 0.9f, 0, 0, 1.1f},
  };
  std::vector<SamplingParams> table;
  uint64_t seed = 0x123456789abcdefull;
  for (const Row& row : kRows) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    table.push_back({row.temperature, row.top_p, row.top_k, row.min_p, row.penalty, seed, legal});
  }
  return table;
}

// Logits (V,) of one kind.
const char* const kKinds[] = {"normal",  "flat",  "coarse", "equal",
                              "nothing", "nasty", "peak",   "zeros"};
std::vector<float> make_logits(const std::string& kind, int vocabulary) {
  std::vector<float> logits(static_cast<size_t>(vocabulary));
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto words = philox4x32({static_cast<uint32_t>(i), 0, 0, 7}, {11, 0});
    const float normal = normal_from_bits(words[0], words[1])[0];
    float& logit = logits[i];
    if (kind == "normal") logit = 3 * normal;
    if (kind == "flat") logit = 0.01f * normal;
    if (kind == "coarse") logit = std::round(2 * normal) / 2;  // ties at every threshold
    if (kind == "equal") logit = 1.25f;
    if (kind == "nothing") logit = words[2] % 3 == 0 ? kNaN : -kInf;
    if (kind == "peak") logit = words[2] % 64 == 0 ? 40.0f : normal;
    if (kind == "zeros") logit = words[2] % 4 == 0 ? 0.0f : words[2] % 4 == 1 ? -0.0f : -1.0f;
    if (kind == "nasty") {
      const float values[] = {kNaN,   -kInf, 0.0f, -0.0f,  1e-40f, -1e-40f, -3e38f, 3e38f,
                              normal, -90,   80,   -1e-3f, kInf,   -kNaN,   2,      -2};
      logit = values[words[2] % (words[3] % 37 == 0 ? 16 : 12)];
      if (words[3] % 5 != 0 && std::fabs(logit) > 1e30f) logit = normal;
    }
  }
  return logits;
}

template <class T>
cuda::DeviceMemory on_device(cuda::Queue& queue, const std::vector<T>& values) {
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
  auto memory = cuda::DeviceMemory::allocate(bytes, "a test");
  EXPECT_TRUE(memory.ok());
  if (!memory) return {};
  queue.copy_to_device(memory->data(), values.data(), bytes);
  EXPECT_TRUE(queue.finish().ok());
  return std::move(*memory);
}

template <class T>
void read_back(cuda::Queue& queue, const cuda::DeviceMemory& memory, std::vector<T>& values) {
  queue.copy_to_host(values.data(), memory.data(), static_cast<int64_t>(values.size() * sizeof(T)));
  const Status status = queue.finish();
  ASSERT_TRUE(status.ok()) << status.error().message;
}

// Sequences with the same vocabulary, on the host and on the device. Heads are in reverse order, so
// that head and sequence differ.
class World {
 public:
  World(const Layout& layout, const std::vector<SamplingParams>& params,
        const std::vector<float>& logits)
      : vocabulary_(layout.vocabulary),
        seen_words_((layout.vocabulary + 31) / 32 + 1),
        table_({.vocabulary = layout.vocabulary,
                .max_sequences = 1,
                .max_sequence_tokens = 64,
                .max_batch_tokens = 1,
                .kv_tokens = 64}),
        scratch_(layout.vocabulary) {
    seen_.resize(params.size() * static_cast<size_t>(seen_words_));
    for (size_t s = 0; s < params.size(); ++s) add_sequence(layout, params[s], logits, s);
    for (size_t s = params.size(); s-- > 0;) heads_.push_back({0, static_cast<int32_t>(s)});
    draws_.resize(heads_.size());
  }

  std::vector<Sequence>& sequences() { return sequences_; }
  std::vector<cuda::DeviceSequence>& device_sequences() { return device_; }
  std::vector<cuda::DeviceHead>& heads() { return heads_; }
  std::vector<cuda::DeviceDraws>& draws() { return draws_; }

  void draw_on_device(int times) {
    auto selected = cuda::select_device(0);
    ASSERT_TRUE(selected.ok()) << selected.error().message;
    auto queue = cuda::Queue::create(cuda::Queue::Priority::kNormal);
    ASSERT_TRUE(queue.ok());
    const cuda::DeviceMemory heads = on_device(*queue, heads_),
                             sequences = on_device(*queue, device_),
                             seen = on_device(*queue, seen_),
                             logits = on_device(*queue, logits_by_head()),
                             draws = on_device(*queue, draws_);
    cuda::DrawTask task;
    task.heads = heads.as<cuda::DeviceHead>();
    task.count = static_cast<int>(heads_.size());
    task.sequences = sequences.as<cuda::DeviceSequence>();
    task.seen = seen.as<uint32_t>();
    task.seen_words = seen_words_;
    task.logits = logits.as<float>();
    task.logits_pitch = vocabulary_;
    task.vocabulary = vocabulary_;
    task.draws = draws.as<cuda::DeviceDraws>();
    for (int i = 0; i < times; ++i) cuda::draw_tokens(*queue, task);
    read_back(*queue, sequences, device_);
    read_back(*queue, seen, seen_);
    read_back(*queue, draws, draws_);
  }

  std::vector<float> logits_by_head() const {
    const auto vocabulary = static_cast<size_t>(vocabulary_);
    std::vector<float> ordered(heads_.size() * vocabulary);
    for (size_t head = 0; head < heads_.size(); ++head) {
      if (heads_[head].sequence < 0) continue;
      const size_t from = static_cast<size_t>(heads_[head].sequence) * vocabulary;
      std::copy_n(logits_.begin() + static_cast<std::ptrdiff_t>(from), vocabulary,
                  ordered.begin() + static_cast<std::ptrdiff_t>(head * vocabulary));
    }
    return ordered;
  }

  // What the device should have done for a sequence that may draw.
  SliceResult draw_on_host(size_t s, int times) {
    SliceResult result;
    const std::span<const float> logits(logits_.data() + s * static_cast<size_t>(vocabulary_),
                                        static_cast<size_t>(vocabulary_));
    for (int i = 0; i < times && !sequences_[s].stopped; ++i) {
      table_.draw(sequences_[s], logits, scratch_, result);
    }
    return result;
  }

  // Draws that differ, and whether the state after them is the host's.
  void compare(size_t s, const SliceResult& expected, int& drawn, int& different) {
    const cuda::DeviceDraws& draws = draws_[draws_.size() - 1 - s];
    const cuda::DeviceSequence& device = device_[s];
    const Sequence& host = sequences_[s];
    drawn += expected.count;
    ASSERT_EQ(draws.count, expected.count) << "sequence " << s;
    for (int i = 0; i < expected.count; ++i) different += draws.tokens[i] != expected.tokens[i];
    EXPECT_EQ(draws.stopped != 0, expected.stopped);
    EXPECT_EQ(device.stopped != 0, host.stopped);
    EXPECT_EQ(device.drawn, host.drawn_tokens);
    EXPECT_EQ(device.token, host.last_drawn);
    int wrong_bits = 0;
    for (TokenId id = 0; id < vocabulary_; ++id)
      wrong_bits += seen(s, id) != host.seen.contains(id);
    EXPECT_EQ(wrong_bits, 0) << "sequence " << s;
  }

 private:
  bool seen(size_t s, TokenId id) const {
    const size_t word = s * static_cast<size_t>(seen_words_) + static_cast<size_t>(id) / 32;
    return (seen_[word] >> (id % 32) & 1u) != 0;
  }

  void add_sequence(const Layout& layout, const SamplingParams& params,
                    const std::vector<float>& logits, size_t s) {
    Sequence& host = sequences_.emplace_back();
    host.options.sampling = params;
    host.options.layout = layout.codes;
    host.options.max_tokens = 64;
    host.seen = TokenSet(layout.vocabulary);
    host.drawn_tokens = static_cast<int>(s % 5);  // starts in different slots
    cuda::DeviceSequence device = {};
    device.length = 20;
    device.token = host.last_drawn;
    device.drawn = host.drawn_tokens;
    device.max_tokens = host.options.max_tokens;
    device.temperature = params.temperature;
    device.top_p = params.top_p;
    device.min_p = params.min_p;
    device.repetition_penalty = params.repetition_penalty;
    device.top_k = params.top_k;
    device.legal_slots = layout.legal ? 1 : 0;
    device.seed = params.seed;
    device.first_code = layout.codes.first_code;
    device.codebook_size = layout.codes.codebook_size;
    device.stop_count = static_cast<int32_t>(layout.codes.stop_ids.size());
    std::copy(layout.codes.stop_ids.begin(), layout.codes.stop_ids.end(), device.stop_ids);
    device_.push_back(device);
    // Every third id was seen; each sequence has the logits from another place on.
    for (TokenId id = 0; id < layout.vocabulary; id += 3) {
      host.seen.insert(id);
      seen_[s * static_cast<size_t>(seen_words_) + static_cast<size_t>(id) / 32] |= 1u << (id % 32);
    }
    const auto shift = static_cast<std::ptrdiff_t>(s * 977 % logits.size());
    logits_.insert(logits_.end(), logits.begin() + shift, logits.end());
    logits_.insert(logits_.end(), logits.begin(), logits.begin() + shift);
  }

  int vocabulary_;
  int seen_words_;
  SequenceTable table_;
  DrawScratch scratch_;
  std::vector<Sequence> sequences_;
  std::vector<cuda::DeviceSequence> device_;
  std::vector<cuda::DeviceHead> heads_;
  std::vector<cuda::DeviceDraws> draws_;
  std::vector<uint32_t> seen_;  // (S, seen_words)
  std::vector<float> logits_;   // (S, V)
};

class DrawTokens : public testing::TestWithParam<Layout> {
 protected:
  void SetUp() override { LYRE_NEED_GPU(); }
};

// Sums differ in their last bits (draw.h): a token may differ where the uniform number hits a
// border within 1e-8. These draws are the same in every run, and none of them does.
TEST_P(DrawTokens, AreTheHosts) {
  const Layout& layout = GetParam();
  // The host takes a while over large vocabularies.
  const int draws = layout.legal || layout.vocabulary < 100'000 ? kDraws : 3;
  int drawn = 0;
  for (const std::string kind : kKinds) {
    SCOPED_TRACE(kind);
    World world(layout, params_table(layout.legal), make_logits(kind, layout.vocabulary));
    world.draw_on_device(draws);
    if (HasFatalFailure()) return;
    int different = 0;
    for (size_t s = 0; s < world.sequences().size(); ++s) {
      const SliceResult expected = world.draw_on_host(s, draws);
      world.compare(s, expected, drawn, different);
      if (HasFatalFailure()) return;
    }
    EXPECT_EQ(different, 0);
  }
  EXPECT_GT(drawn, 300);
}

INSTANTIATE_TEST_SUITE_P(Layouts, DrawTokens, testing::ValuesIn(kLayouts),
                         [](const auto& param_info) { return param_info.param.name; });

TEST(DrawTokensState, OnlySequencesThatMayDrawChange) {
  LYRE_NEED_GPU();
  World world(kLayouts[1], params_table(true), make_logits("normal", kLayouts[1].vocabulary));
  const size_t last = world.heads().size() - 1;
  world.device_sequences()[0].length = world.device_sequences()[0].max_tokens;
  world.sequences()[1].stopped = true;
  world.device_sequences()[1].stopped = 1;
  world.heads()[last - 2].sequence = -1;
  world.device_sequences()[3].length = world.device_sequences()[3].max_tokens - 1;
  const std::vector<cuda::DeviceSequence> before = world.device_sequences();
  world.draw_on_device(1);
  if (HasFatalFailure()) return;
  int drawn = 0, different = 0;
  for (size_t s = 0; s <= last; ++s) {
    SCOPED_TRACE(s);
    SliceResult expected;
    if (s > 2) expected = world.draw_on_host(s, 1);
    expected.stopped = world.sequences()[s].stopped;
    world.compare(s, expected, drawn, different);
    if (HasFatalFailure()) return;
    EXPECT_EQ(world.device_sequences()[s].length, before[s].length);
  }
  EXPECT_EQ(different, 0);
  EXPECT_EQ(drawn, static_cast<int>(last) - 2);
}

// Every draw adds to those of the step; one too many changes nothing.
TEST(DrawTokensState, DrawsOfAStepAreCounted) {
  LYRE_NEED_GPU();
  World world(kLayouts[6], params_table(false), make_logits("normal", kLayouts[6].vocabulary));
  world.draw_on_device(kDraws + 1);
  if (HasFatalFailure()) return;
  int drawn = 0, different = 0;
  for (size_t s = 0; s < world.sequences().size(); ++s) {
    const SliceResult expected = world.draw_on_host(s, kDraws);
    world.compare(s, expected, drawn, different);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(different, 0);
}

}  // namespace
}  // namespace lyre::test
