# Script: writes the C++ source that lyre_embed compiles. String literals are cut below the 64 KiB that compilers must take.
set(entries "")
foreach(file IN LISTS FILES)
  get_filename_component(base ${file} NAME)
  file(READ ${file} hex HEX)
  string(LENGTH "${hex}" digits)
  math(EXPR size "${digits} / 2")
  # Every byte is an escape, so that none meets a following digit. CMake's regular expressions have no {n,m}.
  set(literal "")
  set(at 0)
  while(at LESS digits)
    string(SUBSTRING "${hex}" ${at} 8000 part)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" escaped "${part}")
    string(APPEND literal "\"${escaped}\"\n")
    math(EXPR at "${at} + 8000")
  endwhile()
  string(APPEND entries "    {\"${base}\", std::string_view(\n${literal}, ${size})},\n")
endforeach()
file(WRITE ${OUT} "#include \"lyre/base/embedded.h\"\n\n#include <array>\n\nnamespace lyre::embedded {\n"
  "namespace {\nconst EmbeddedFile kFiles[] = {\n${entries}    {\"\", \"\"}};\n}  // namespace\n"
  "std::span<const EmbeddedFile> ${NAME}() {\n  return {kFiles, std::size(kFiles) - 1};\n}\n}  // namespace lyre::embedded\n")
