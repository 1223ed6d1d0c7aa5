# `cmake --install`: library, headers, CMake package and pkg-config file, so that a program elsewhere
# builds with find_package(qwenvl) or `pkg-config qwenvl`. tests/install checks both.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/qwenvl)

install(TARGETS qwenvl EXPORT qwenvlTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qwenvl DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT qwenvlTargets NAMESPACE qwenvl:: DESTINATION ${package_dir})

# A shared library brings its own dependencies; users of a static one link them themselves.
get_target_property(library_type qwenvl TYPE)
set(QWENVL_IS_STATIC FALSE)
set(pc_requires "")
set(pc_libs "")
if(library_type STREQUAL "STATIC_LIBRARY")
  set(QWENVL_IS_STATIC TRUE)
  set(pc_requires "fmt libjpeg libpng libtiff-4 libwebp libwebpdemux libutf8proc libxxhash")
  set(pc_libs "-lgif -pthread -ldl")
endif()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/qwenvlConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/package/qwenvlConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/qwenvlConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)  # before 1.0 a minor may break
install(FILES ${PROJECT_BINARY_DIR}/package/qwenvlConfig.cmake
              ${PROJECT_BINARY_DIR}/package/qwenvlConfigVersion.cmake DESTINATION ${package_dir})

# Written at install time, because only then the prefix is known (cmake --install --prefix).
install(CODE "
  set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
  get_filename_component(prefix \"\${prefix}\" ABSOLUTE)
  set(libdir \"${CMAKE_INSTALL_LIBDIR}\")
  set(includedir \"${CMAKE_INSTALL_INCLUDEDIR}\")
  set(description \"${PROJECT_DESCRIPTION}\")
  set(version \"${PROJECT_VERSION}\")
  set(requires \"${pc_requires}\")
  set(libs \"${pc_libs}\")
  configure_file(\"${PROJECT_SOURCE_DIR}/cmake/qwenvl.pc.in\"
                 \"${PROJECT_BINARY_DIR}/package/qwenvl.pc\" @ONLY)")
install(FILES ${PROJECT_BINARY_DIR}/package/qwenvl.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
