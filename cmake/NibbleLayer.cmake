# nibble_layer(NAME [PCH] SOURCES a.cc ... [DEPS layer ...] [LINK target ...])
#
# One folder of nibble/ as one static library, linked to just the layers it may see, so that the
# linker repeats what tools/check_layers.py checks. The installed library is made of the objects of
# all layers (nibble/CMakeLists.txt). PCH: for folders where most files read or write JSON, whose
# parsing by the compiler would be most of the building time.
function(nibble_layer name)
  cmake_parse_arguments(ARG "PCH" "" "SOURCES;DEPS;LINK" ${ARGN})
  add_library(nibble_${name} STATIC ${ARG_SOURCES})
  target_include_directories(nibble_${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  list(TRANSFORM ARG_DEPS PREPEND nibble_)
  target_link_libraries(nibble_${name} PUBLIC ${ARG_DEPS} ${ARG_LINK} PRIVATE nibble_options)
  if(ARG_PCH)
    target_precompile_headers(nibble_${name} PRIVATE <fmt/format.h> <nlohmann/json.hpp>)
  endif()
  if(NIBBLE_BUILD_FUZZERS)
    # Coverage counters in all that a fuzz target may reach; only the targets link libFuzzer itself
    # (tests/fuzz), so one build serves them and the sanitized tests.
    target_compile_options(nibble_${name} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
  set_property(GLOBAL APPEND PROPERTY NIBBLE_LAYERS nibble_${name})
endfunction()
