#pragma once

#include <string>
#include <utility>

#include "lyre/base/result.h"

namespace lyre {

/// A shared library that is loaded when it is needed first, and stays loaded: libavcodec brings a
/// hundred others along, for which a program that never encodes should not wait.
class DynamicLibrary {
 public:
  /// soname: with the version of the interface that we were compiled against. kInternal: the
  /// library is not installed; the message says why it cannot be loaded.
  static Result<DynamicLibrary> open(std::string soname);

  /// Sets `function` to the function of this name. kInternal: there is none.
  template <class Function>
  Status find(const char* name, Function*& function) const {
    LYRE_ASSIGN_OR_RETURN(void* const address, address_of(name));
    function = reinterpret_cast<Function*>(address);
    return ok_status();
  }

 private:
  DynamicLibrary(void* handle, std::string soname) : handle_(handle), soname_(std::move(soname)) {}
  Result<void*> address_of(const char* name) const;

  void* handle_;
  std::string soname_;
};

}  // namespace lyre
