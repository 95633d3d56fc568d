#include "lyre/lm/sequence_table.h"

#include <algorithm>
#include <string>

#include "lyre/base/check.h"
#include "lyre/lm/sampler.h"

namespace lyre {
namespace {

Error invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

std::string range_text(int64_t first, int64_t last) {
  return "[" + std::to_string(first) + ", " + std::to_string(last) + "]";
}

}  // namespace

LegalRows::LegalRows(const Sequence& sequence, int vocabulary) {
  if (!sequence.options.sampling.legal_slots) {
    add({0, vocabulary});
    return;
  }
  const CodeLayout& layout = sequence.options.layout;
  const int slot = sequence.drawn_tokens % CodeLayout::kSlots;
  const TokenRange codes = {layout.slot_first(slot), layout.slot_first(slot + 1)};
  if (slot != 0) {
    add(codes);
    return;
  }
  bool codes_added = false;
  for (const TokenId stop : layout.stop_ids) {
    if (!codes_added && stop >= codes.begin) {
      add(codes);
      codes_added = true;
    }
    if (stop < codes.begin || stop >= codes.end) add({stop, stop + 1});
  }
  if (!codes_added) add(codes);
}

SequenceTable::SequenceTable(const Limits& limits)
    : limits_(limits), pages_(static_cast<int>(limits.kv_tokens / kPageTokens)) {
  sequences_.resize(static_cast<size_t>(limits.max_sequences));
  free_sequences_.reserve(sequences_.size());
  free_pages_.reserve(static_cast<size_t>(pages_));
  work_.reserve(sequences_.size());
  for (Sequence& sequence : sequences_) {
    sequence.seen = TokenSet(limits.vocabulary);
    sequence.pages.reserve(static_cast<size_t>(pages_for(limits.max_sequence_tokens)));
    sequence.options.layout.stop_ids.reserve(LegalRows::kMostStopIds);
  }
  for (int id = limits.max_sequences; id-- > 0;) free_sequences_.push_back(id);
  for (int page = pages_; page-- > 0;) free_pages_.push_back(page);
}

Status SequenceTable::check_options(const SequenceOptions& options) const {
  LYRE_RETURN_IF_ERROR(validate(options.sampling));
  if (options.max_tokens < 1 || options.max_tokens > limits_.max_sequence_tokens) {
    return invalid("max_tokens: expected " + range_text(1, limits_.max_sequence_tokens) +
                   ", found " + std::to_string(options.max_tokens));
  }
  const CodeLayout& layout = options.layout;
  if (layout.stop_ids.size() > LegalRows::kMostStopIds) {
    return invalid("stop_ids: expected at most " + std::to_string(LegalRows::kMostStopIds) +
                   ", found " + std::to_string(layout.stop_ids.size()));
  }
  for (const TokenId stop : layout.stop_ids) {
    if (stop < 0 || stop >= limits_.vocabulary) {
      return invalid("stop_ids: expected " + range_text(0, limits_.vocabulary - 1) + ", found " +
                     std::to_string(stop));
    }
  }
  const int64_t end =
      layout.first_code + int64_t{CodeLayout::kSlots} * std::max(layout.codebook_size, 0);
  if (options.sampling.legal_slots &&
      (layout.first_code < 0 || layout.codebook_size < 1 || end > limits_.vocabulary)) {
    return invalid("code layout: expected seven slots of codes inside " +
                   range_text(0, limits_.vocabulary - 1) + ", found codes from " +
                   std::to_string(layout.first_code) + " to " + std::to_string(end - 1));
  }
  return ok_status();
}

Result<SequenceId> SequenceTable::open(const SequenceOptions& options) {
  LYRE_RETURN_IF_ERROR(check_options(options));
  const auto needed = static_cast<size_t>(pages_for(options.max_tokens));
  if (free_sequences_.empty()) {
    return Error{ErrorCode::kResourceExhausted,
                 "all " + std::to_string(limits_.max_sequences) + " sequences are in use"};
  }
  if (needed > free_pages_.size()) {
    return Error{ErrorCode::kResourceExhausted,
                 "KV pages: " + std::to_string(needed) + " needed for " +
                     std::to_string(options.max_tokens) + " tokens, " +
                     std::to_string(free_pages_.size()) + " of " + std::to_string(pages_) +
                     " free"};
  }
  const SequenceId id = free_sequences_.back();
  free_sequences_.pop_back();
  Sequence& sequence = sequences_[static_cast<size_t>(id)];
  sequence.pages.assign(free_pages_.rbegin(),
                        free_pages_.rbegin() + static_cast<std::ptrdiff_t>(needed));
  free_pages_.resize(free_pages_.size() - needed);
  sequence.options = options;
  std::vector<TokenId>& stops = sequence.options.layout.stop_ids;
  std::sort(stops.begin(), stops.end());
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
  sequence.seen.clear();
  sequence.prompt_tokens = sequence.drawn_tokens = 0;
  sequence.last_drawn = -1;
  sequence.stopped = false;
  sequence.is_open = true;
  return id;
}

void SequenceTable::close(SequenceId id) noexcept {
  LYRE_CHECK(is_open(id));
  Sequence& sequence = sequences_[static_cast<size_t>(id)];
  sequence.is_open = false;
  free_pages_.insert(free_pages_.end(), sequence.pages.rbegin(), sequence.pages.rend());
  sequence.pages.clear();
  free_sequences_.push_back(id);
}

bool SequenceTable::is_open(SequenceId id) const noexcept {
  return id >= 0 && id < limits_.max_sequences && sequences_[static_cast<size_t>(id)].is_open;
}

Status SequenceTable::check_slice(const Slice& slice) const {
  if (!is_open(slice.sequence)) {
    return invalid("sequence " + std::to_string(slice.sequence) + " is not open");
  }
  const Sequence& sequence = sequences_[static_cast<size_t>(slice.sequence)];
  if (slice.prompt.empty()) {
    if (sequence.last_drawn < 0) {
      return invalid("a sequence without a drawn token needs prompt ids");
    }
    return ok_status();
  }
  if (sequence.last_drawn >= 0) return invalid("prompt ids after the first draw");
  const int64_t total = sequence.prompt_tokens + static_cast<int64_t>(slice.prompt.size());
  if (total > sequence.options.max_tokens) {
    return invalid(
        "prompt: expected at most max_tokens = " + std::to_string(sequence.options.max_tokens) +
        " ids, found " + std::to_string(total));
  }
  for (const TokenId token : slice.prompt) {
    if (token < 0 || token >= limits_.vocabulary) {
      return invalid("prompt: expected ids in " + range_text(0, limits_.vocabulary - 1) +
                     ", found " + std::to_string(token));
    }
  }
  return ok_status();
}

Result<std::span<const SliceWork>> SequenceTable::plan(std::span<const Slice> batch,
                                                       std::span<SliceResult> results) {
  LYRE_CHECK(results.size() == batch.size());
  work_.clear();
  if (batch.size() > sequences_.size()) return invalid("more slices than sequences");
  int64_t tokens = 0;
  for (const Slice& slice : batch) {
    LYRE_RETURN_IF_ERROR(check_slice(slice));
    tokens += std::max<int64_t>(1, static_cast<int64_t>(slice.prompt.size()));
    Sequence* sequence = &sequences_[static_cast<size_t>(slice.sequence)];
    for (const SliceWork& earlier : work_) {
      if (earlier.sequence == sequence) return invalid("two slices of one sequence in a batch");
    }
    work_.push_back({sequence, slice.prompt, 0, slice.most_tokens > 0});
  }
  if (tokens > limits_.max_batch_tokens) {
    return invalid("batch: expected at most " + std::to_string(limits_.max_batch_tokens) +
                   " tokens, found " + std::to_string(tokens));
  }
  for (size_t i = 0; i < work_.size(); ++i) {
    SliceWork& work = work_[i];
    Sequence& sequence = *work.sequence;
    results[i] = SliceResult{};
    results[i].stopped = sequence.stopped;
    if (!work.tokens.empty()) {
      work.first_position = sequence.prompt_tokens;
      sequence.prompt_tokens += static_cast<int>(work.tokens.size());
      for (const TokenId token : work.tokens) sequence.seen.insert(token);
    } else if (work.draws && !sequence.finished()) {
      work.first_position = sequence.total_tokens() - 1;
      work.tokens = {&sequence.last_drawn, 1};
    }
    work.draws = work.draws && !work.tokens.empty() && !sequence.finished();
  }
  return std::span<const SliceWork>(work_);
}

void SequenceTable::draw(Sequence& sequence, std::span<const float> logits, DrawScratch& scratch,
                         SliceResult& result) const {
  const LegalRows legal(sequence, limits_.vocabulary);
  const TokenId token = draw_token(sequence.options.sampling, logits, legal.ranges(),
                                   &sequence.seen, sequence.drawn_tokens, scratch);
  note_drawn(sequence, token, result);
}

void SequenceTable::note_drawn(Sequence& sequence, TokenId token, SliceResult& result) {
  const std::vector<TokenId>& stops = sequence.options.layout.stop_ids;
  sequence.seen.insert(token);
  sequence.last_drawn = token;
  sequence.drawn_tokens += 1;
  sequence.stopped = std::binary_search(stops.begin(), stops.end(), token);
  result.tokens[result.count++] = token;
  result.stopped = sequence.stopped;
}

}  // namespace lyre
