#include "lyre/text/abbreviations.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>

#include "lyre/text/code_point.h"

namespace lyre {
namespace {

// Titles and words that stand before a name or a number, of the languages that the prompt families
// speak in Latin script. What often ends a sentence ("etc.", "Inc.", "No.") is not here. Sorted.
constexpr std::array<std::string_view, 56> kBeforeNames = {
    "Abb",  "Abs",  "Adm",    "Art", "Av",  "Bd",  "Capt", "Cmdr", "Col", "Cpl",  "Dir",  "Dott",
    "Dr",   "Dra",  "Fig",    "Fr",  "Gen", "Gov", "Hon",  "Hr",   "Hrn", "Ing",  "Lt",   "Maj",
    "Mgr",  "Mlle", "Mme",    "Mr",  "Mrs", "Ms",  "Msgr", "Mt",   "Nr",  "Pres", "Prof", "Pvt",
    "Rep",  "Rev",  "Sen",    "Sgt", "Sig", "Sr",  "Sra",  "Srta", "St",  "Sta",  "Ste",  "Sto",
    "Supt", "Vol",  "approx", "cf",  "fig", "pp",  "vol",  "vs"};

bool is_letter(char32_t c) { return u_isalpha(static_cast<UChar32>(c)) != 0; }

}  // namespace

bool ends_with_abbreviation(std::string_view before) {
  if (!before.ends_with('.')) return false;
  before.remove_suffix(1);
  // The word before the full stop: letters back to something else.
  size_t begin = before.size();
  int letters = 0;
  char32_t first = 0;
  while (begin > 0) {
    size_t at = begin - 1;
    while (at > 0 && (static_cast<uint8_t>(before[at]) & 0xC0) == 0x80) --at;
    const char32_t c = decode_utf8(before, at).value;
    if (!is_letter(c)) break;
    first = c;
    begin = at;
    ++letters;
  }
  const std::string_view word = before.substr(begin);
  if (letters == 1) {
    // An initial ("J. Smith"), or the last letter of "e.g." and "z. B."; not the pronoun "I".
    return u_isupper(static_cast<UChar32>(first)) ? word != "I"
                                                  : before.substr(0, begin).ends_with('.');
  }
  return std::binary_search(kBeforeNames.begin(), kBeforeNames.end(), word);
}

}  // namespace lyre
