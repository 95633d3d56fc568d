#include "lyre/base/dynamic_library.h"

#include <dlfcn.h>

namespace lyre {

Result<DynamicLibrary> DynamicLibrary::open(std::string soname) {
  // Its names stay its own: they shall not stand in for those of a program that lyre is a part of.
  void* const handle = ::dlopen(soname.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle != nullptr) return DynamicLibrary(handle, std::move(soname));
  const char* const reason = ::dlerror();
  return Error{ErrorCode::kInternal,
               "cannot load " + soname + ": " + (reason == nullptr ? "unknown error" : reason)};
}

Result<void*> DynamicLibrary::address_of(const char* name) const {
  if (void* const address = ::dlsym(handle_, name)) return address;
  return Error{ErrorCode::kInternal, soname_ + " has no function " + name};
}

}  // namespace lyre
