# Warnings are errors in our own code only: the targets link this interface, the dependencies are system headers.
add_library(lyre_warnings INTERFACE)
target_compile_options(lyre_warnings INTERFACE -Wall -Wextra -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these falsely from inlined standard library code when sanitizers or -O3 are on.
  target_compile_options(lyre_warnings INTERFACE -Wno-maybe-uninitialized -Wno-array-bounds
                                                 -Wno-stringop-overflow -Wno-restrict)
endif()
