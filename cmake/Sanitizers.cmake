if(LYRE_SANITIZE)
  add_compile_options(-fsanitize=${LYRE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LYRE_SANITIZE})
endif()
if(LYRE_BUILD_FUZZERS)
  # Every object carries the coverage hooks; only the fuzz targets link the driver.
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
if(LYRE_SANITIZE MATCHES "undefined" AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # Its mark before every function meets coroutines, which clang 14 splits over sections: "Cannot
  # represent a difference across sections".
  add_compile_options(-fno-sanitize=function)
endif()
# What keeps the sanitizers' builds short; the release build has none of it. They find the same without optimisation.
if(LYRE_SANITIZE AND CCACHE)
  # Else ccache takes nothing that was compiled with a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()

# For all but the folders of arithmetic and what property tests repeat, which would take longer than the compiler saves: it
# needs a third to a half of the time (web_socket.cc under ASan: 16 s instead of 59 s).
function(lyre_sanitize_unoptimised target)
  if(LYRE_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()

# For what no fuzz target looks into.
function(lyre_no_fuzzer_coverage target)
  if(LYRE_BUILD_FUZZERS)
    target_compile_options(${target} PRIVATE -fno-sanitize=fuzzer-no-link)
  endif()
endfunction()

# For targets of many files: the headers that nearly all of them read. Every file includes what it needs all the same, the
# release build sees to that.
function(lyre_sanitize_precompiled target)
  if(NOT LYRE_SANITIZE)
    return()
  endif()
  target_precompile_headers(${target} PRIVATE ${ARGN})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # The time in it would make each of them another one to ccache.
    target_compile_options(${target} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
  endif()
endfunction()
