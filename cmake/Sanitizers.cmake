if(LYRE_SANITIZE)
  add_compile_options(-fsanitize=${LYRE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LYRE_SANITIZE})
endif()
if(LYRE_BUILD_FUZZERS)
  # Every object carries the coverage hooks; only the fuzz targets link the driver.
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
