# cmake --install: the program, the library, its public headers, and what find_package(nibble) and
# pkg-config need. Nothing in the installed files names the prefix, so the tree can be moved.
# tests/install/run uses the result from outside.
include(CMakePackageConfigHelpers)

install(TARGETS nibble EXPORT nibbleTargets)
if(TARGET nibble_cli)
  install(TARGETS nibble_cli)
  file(RELATIVE_PATH library_from_program "/${CMAKE_INSTALL_BINDIR}" "/${CMAKE_INSTALL_LIBDIR}")
  set_target_properties(nibble_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${library_from_program}")
endif()

# The backends' insides stay inside: users reach a backend through backend/registry.h.
install(DIRECTORY "${PROJECT_SOURCE_DIR}/nibble" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h"
        PATTERN "backend/*" EXCLUDE
        PATTERN "*-inl.h" EXCLUDE)
file(GLOB backend_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/nibble/backend/*.h")
install(FILES ${backend_headers} DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/nibble/backend")

set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/nibble")
install(EXPORT nibbleTargets NAMESPACE nibble:: DESTINATION "${package_folder}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/nibbleConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/nibbleConfig.cmake"
                              INSTALL_DESTINATION "${package_folder}"
                              NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# Below 1.0 a new minor version may break callers.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/nibbleConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/nibbleConfig.cmake"
              "${PROJECT_BINARY_DIR}/nibbleConfigVersion.cmake"
        DESTINATION "${package_folder}")

file(RELATIVE_PATH prefix_from_pc "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file("${PROJECT_SOURCE_DIR}/cmake/nibble.pc.in" "${PROJECT_BINARY_DIR}/nibble.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/nibble.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
