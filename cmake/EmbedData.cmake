# lyre_embed(target name folder extension): compiles the files of a folder into the target as string data,
# reachable through `lyre::embedded::<name>()`, a span of {file name, contents}; see base/embedded.h.
function(lyre_embed target name folder extension)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.${extension})
  set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded_${name}.cc)
  add_custom_command(OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DOUT=${source} -DNAME=${name} "-DFILES=${files}"
            -P ${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake
    DEPENDS ${files} ${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()
