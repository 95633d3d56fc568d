#pragma once

namespace lyre {

/// How text that is still being written is cut into segments, in characters (code points without
/// the white space at the ends). Early cuts are heard early; late ones let the model see more of
/// the sentence and speak it better.
struct TextPacing {
  // The first segment, for which somebody waits: it ends with its sentence, however short, or at a
  // clause border from here on, or between words when it would be longer than the second.
  int first_clause_characters = 30;
  int first_most_characters = 120;
  // All others, which are made while those before them are heard: sentences are joined until they
  // have the first of these, a clause border ends a segment from the second on, a border between
  // words when it would be longer than the third.
  int least_characters = 40;
  int clause_characters = 120;
  int most_characters = 240;
};

}  // namespace lyre
