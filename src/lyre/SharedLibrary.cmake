# liblyre.so and its CMake package: the folders that the engine needs, in one library that shows the names of the public
# headers only. A program needs no development package of what lyre is made of.
set(public_headers
  lyre.h
  audio/pcm_channel.h audio/wav.h
  base/api.h base/clock.h base/log.h base/result.h base/sampling_params.h base/text_pacing.h base/trace.h base/trace_chart.h
  base/trace_event_json.h base/trace_profile.h base/warmup.h
  engine/engine.h engine/speak.h engine/voice_folder.h)
set(parts lyre_base lyre_tensor lyre_text lyre_lm lyre_codec lyre_audio lyre_engine)

# Objects and not archives: nothing within the library refers to its entry points.
list(TRANSFORM parts REPLACE ".+" "$<TARGET_OBJECTS:\\0>" OUTPUT_VARIABLE objects)
add_library(lyre_shared SHARED ${objects})
add_library(lyre::lyre ALIAS lyre_shared)
set_target_properties(lyre_shared PROPERTIES
  OUTPUT_NAME lyre EXPORT_NAME lyre LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LINKER_LANGUAGE CXX)
# For what they link; of the archives themselves nothing is left to take.
target_link_libraries(lyre_shared PRIVATE ${parts})
target_compile_features(lyre_shared PUBLIC cxx_std_20)
target_include_directories(lyre_shared INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<INSTALL_INTERFACE:include>)
# Templates of libraries are visible by their own headers' word, however this is compiled.
set(names ${CMAKE_CURRENT_SOURCE_DIR}/exported_names.map)
target_link_options(lyre_shared PRIVATE -Wl,--version-script=${names} -Wl,--no-undefined)
set_target_properties(lyre_shared PROPERTIES LINK_DEPENDS ${names})

include(CMakePackageConfigHelpers)
set(package lib/cmake/lyre)
set(demo_voice share/lyre/voices/demo)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/package/lyreConfig.cmake.in lyreConfig.cmake
  INSTALL_DESTINATION ${package} PATH_VARS demo_voice)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(lyreConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(${PROJECT_SOURCE_DIR}/cmake/package/lyre.pc.in lyre.pc @ONLY)

install(TARGETS lyre_shared EXPORT lyreTargets LIBRARY DESTINATION lib)
install(EXPORT lyreTargets NAMESPACE lyre:: DESTINATION ${package})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lyreConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/lyreConfigVersion.cmake
  DESTINATION ${package})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lyre.pc DESTINATION lib/pkgconfig)
foreach(header IN LISTS public_headers)
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${header} DESTINATION include/lyre/${folder})
endforeach()
