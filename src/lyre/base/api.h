#pragma once

/// Marks what liblyre.so shows to programs; everything else stays hidden in it. Headers with this
/// mark are installed (src/lyre/SharedLibrary.cmake), and no others.
#define LYRE_API __attribute__((visibility("default")))
