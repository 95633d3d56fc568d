# Warnings are errors in our own code only: the targets link this interface, the dependencies are system headers.
add_library(lyre_warnings INTERFACE)
set(warnings -Wall -Wextra -Wconversion -Wshadow -Werror)
target_compile_options(lyre_warnings INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>"
  # nvcc's own stubs do not pass the conversion warnings.
  $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wno-unused-parameter>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these falsely from inlined standard library code when sanitizers or -O3 are on.
  target_compile_options(lyre_warnings INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized;-Wno-array-bounds;-Wno-stringop-overflow;-Wno-restrict>")
endif()
