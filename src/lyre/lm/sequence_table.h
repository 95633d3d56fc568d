#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "lyre/lm/draw_token.h"
#include "lyre/lm/language_model.h"
#include "lyre/lm/token_set.h"

namespace lyre {

/// State of one open sequence, apart from its keys and values.
struct Sequence {
  SequenceOptions options;     // stop ids sorted, each once
  std::vector<int32_t> pages;  // KV pages, reserved at open
  TokenSet seen;               // prompt and drawn ids
  int prompt_tokens = 0;       // taken in so far
  int drawn_tokens = 0;
  TokenId last_drawn = -1;  // not fed back yet; -1 before the first draw
  bool stopped = false;     // a stop id was drawn
  bool is_open = false;

  int total_tokens() const noexcept { return prompt_tokens + drawn_tokens; }
  bool finished() const noexcept { return stopped || total_tokens() >= options.max_tokens; }
};

/// What the model computes for one slice.
struct SliceWork {
  Sequence* sequence = nullptr;
  std::span<const TokenId> tokens;  // to feed; empty for a finished sequence
  int first_position = 0;           // of tokens[0]
  bool draws = false;               // after the last of them
};

/// Rows of the output matrix that a draw chooses from.
class LegalRows {
 public:
  static constexpr int kMostStopIds = 15;

  LegalRows() = default;
  LegalRows(const Sequence& sequence, int vocabulary);

  std::span<const TokenRange> ranges() const noexcept { return {ranges_.data(), count_}; }
  bool operator==(const LegalRows&) const = default;

 private:
  void add(TokenRange range) noexcept { ranges_[count_++] = range; }

  std::array<TokenRange, kMostStopIds + 1> ranges_{};  // ascending, disjoint
  size_t count_ = 0;
};

/// The open sequences of a model and its KV pages: the book-keeping that every backend shares, so
/// that limits, errors and draws are the same everywhere. All memory is taken by the constructor.
class SequenceTable {
 public:
  static constexpr int kPageTokens = 64;

  struct Limits {
    int vocabulary = 0;
    int max_sequences = 0;
    int max_sequence_tokens = 0;
    int max_batch_tokens = 0;
    int64_t kv_tokens = 0;  // cut down to whole pages
  };
  explicit SequenceTable(const Limits& limits);

  static int pages_for(int64_t tokens) noexcept {
    return static_cast<int>((tokens + kPageTokens - 1) / kPageTokens);
  }
  int pages() const noexcept { return pages_; }

  Result<SequenceId> open(const SequenceOptions& options);
  void close(SequenceId id) noexcept;
  bool is_open(SequenceId id) const noexcept;
  const Sequence& at(SequenceId id) const noexcept { return sequences_[static_cast<size_t>(id)]; }
  int free_sequences() const noexcept { return static_cast<int>(free_sequences_.size()); }
  int free_pages() const noexcept { return static_cast<int>(free_pages_.size()); }

  /// Checks the batch, says what is to be computed and takes the tokens to feed into the sequences'
  /// counts. Nothing has changed after an error. The result lives until the next call.
  Result<std::span<const SliceWork>> plan(std::span<const Slice> batch,
                                          std::span<SliceResult> results);

  /// Draws the next token from logits (V,), of which the legal rows are valid, and notes it.
  /// Different sequences may draw at the same time, each thread with its scratch.
  void draw(Sequence& sequence, std::span<const float> logits, DrawScratch& scratch,
            SliceResult& result) const;

  /// Notes a token that was drawn elsewhere: on a device.
  static void note_drawn(Sequence& sequence, TokenId token, SliceResult& result);

 private:
  Status check_options(const SequenceOptions& options) const;
  Status check_slice(const Slice& slice) const;

  const Limits limits_;
  const int pages_;
  std::vector<Sequence> sequences_;
  std::vector<SequenceId> free_sequences_;  // stacks: what was used last is still in the caches
  std::vector<int32_t> free_pages_;
  std::vector<SliceWork> work_;
};

}  // namespace lyre
