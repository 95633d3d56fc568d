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
