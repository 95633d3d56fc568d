#include "lyre/tensor/content_hash.h"

#include <xxhash.h>

#include <algorithm>

#include "lyre/tensor/mapped_file.h"

namespace lyre {
namespace {

// Part of the format: another size gives other hashes.
constexpr size_t kBlockBytes = size_t{4} << 20;

ContentHash xxh3(const void* data, size_t bytes) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(data, bytes);
  return {hash.high64, hash.low64};
}

size_t blocks_of(size_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes; }

std::span<const std::byte> block_of(std::span<const std::byte> range, size_t block) {
  return range.subspan(block * kBlockBytes,
                       std::min(kBlockBytes, range.size() - block * kBlockBytes));
}

// The hash of the blocks' hashes and of the size.
ContentHash combine(std::span<const ContentHash> blocks, size_t bytes) {
  std::vector<uint64_t> words;
  words.reserve(2 * blocks.size() + 1);
  for (const ContentHash& block : blocks) {
    words.push_back(block.high);
    words.push_back(block.low);
  }
  words.push_back(bytes);
  return xxh3(words.data(), words.size() * sizeof(uint64_t));
}

}  // namespace

std::string ContentHash::to_string() const {
  constexpr char kHex[] = "0123456789abcdef";
  std::string digits;
  for (const uint64_t half : {high, low}) {
    for (int shift = 60; shift >= 0; shift -= 4) digits += kHex[(half >> shift) & 15];
  }
  return digits;
}

bool parse_content_hash(std::string_view digits, ContentHash& hash) noexcept {
  if (digits.size() != 32) return false;
  uint64_t halves[2] = {0, 0};
  for (size_t i = 0; i < digits.size(); ++i) {
    const char c = digits[i];
    uint64_t value = 0;
    if (c >= '0' && c <= '9') {
      value = static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = static_cast<uint64_t>(c - 'a') + 10;
    } else {
      return false;
    }
    halves[i / 16] = halves[i / 16] << 4 | value;
  }
  hash = {halves[0], halves[1]};
  return true;
}

ContentHash hash_text(std::string_view text) noexcept { return xxh3(text.data(), text.size()); }

std::vector<ContentHash> hash_contents(std::span<const std::span<const std::byte>> ranges,
                                       ThreadPool& threads) {
  struct Block {
    size_t range, number;
  };
  std::vector<Block> blocks;
  for (size_t r = 0; r < ranges.size(); ++r) {
    for (size_t b = 0; b < blocks_of(ranges[r].size()); ++b) blocks.push_back({r, b});
  }
  std::vector<ContentHash> hashes(blocks.size());
  threads.deal(static_cast<int>(blocks.size()), [&](int chunk, int /*thread*/) {
    const Block& block = blocks[static_cast<size_t>(chunk)];
    const std::span<const std::byte> bytes = block_of(ranges[block.range], block.number);
    make_resident(bytes);
    hashes[static_cast<size_t>(chunk)] = xxh3(bytes.data(), bytes.size());
  });
  std::vector<ContentHash> combined;
  std::span<const ContentHash> left = hashes;
  for (const std::span<const std::byte> range : ranges) {
    const size_t count = blocks_of(range.size());
    combined.push_back(combine(left.first(count), range.size()));
    left = left.subspan(count);
  }
  return combined;
}

ContentHash hash_content(std::span<const std::byte> range) {
  std::vector<ContentHash> hashes;
  for (size_t b = 0; b < blocks_of(range.size()); ++b) {
    const std::span<const std::byte> block = block_of(range, b);
    hashes.push_back(xxh3(block.data(), block.size()));
  }
  return combine(hashes, range.size());
}

}  // namespace lyre
