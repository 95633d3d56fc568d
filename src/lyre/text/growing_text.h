#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/text_pacing.h"

namespace lyre {

struct Border;

/// Takes text piece by piece, joins it as it is and gives out what is complete. Where it is cut
/// depends on the text and on the flushes only, not on how the text came. A border counts once what
/// follows it has shown that it is one: "Mr." or "3." may go on, and "un" may become "until", so
/// nothing is cut at or behind the last word; where no letter comes, two dozen characters will do.
/// Never cuts a <tag>. A value.
class GrowingText {
 public:
  explicit GrowingText(const TextPacing& pacing) : pacing_(pacing) {}

  /// Appends to `ready` the segments that are complete now. kInvalidArgument for invalid UTF-8: the
  /// piece is left out.
  Status append(std::string_view utf8, std::vector<std::string>& ready);
  /// What is there is complete as it is; what follows begins anew, with a first segment.
  Status flush(std::vector<std::string>& ready);

  size_t pending_bytes() const noexcept { return pending_.size(); }

 private:
  Status cut(bool complete, std::vector<std::string>& ready);
  /// The border that ends the segment which begins at `begin`; 0 if that is not known yet.
  size_t next_cut(const std::vector<Border>& borders, size_t begin, size_t last) const;

  TextPacing pacing_;
  std::string pending_;
  size_t looked_through_ = 0;  // bytes of it, without a cut
  bool first_ = true;
};

}  // namespace lyre
