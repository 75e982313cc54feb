// Loads libtensorflow with standard error closed. Its static initializers print a notice about oneDNN before any
// log level is read, and no variable silences it without slowing the kernels. Loaded before tfjs_binding.node, which
// then finds the library in memory. This addon itself is not linked against TensorFlow.
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <node_api.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#ifdef __APPLE__
static const char kLibrary[] = "/../../deps/lib/libtensorflow_cc.2.dylib";
#else
static const char kLibrary[] = "/../../deps/lib/libtensorflow_cc.so.2";
#endif

static napi_value Refuse(napi_env env, const std::string& message) {
  napi_throw_error(env, "ERR_DOWNPOUR_LIBTENSORFLOW", message.c_str());
  return nullptr;
}

// The library's real path: where it is a link into an installed wheel, the wheel's own run path must hold.
static bool FindLibrary(std::string* library) {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(FindLibrary), &self) == 0 || self.dli_fname == nullptr) return false;
  *library = self.dli_fname;
  const size_t slash = library->rfind('/');
  library->resize(slash == std::string::npos ? 0 : slash);
  if (library->empty()) *library = ".";
  *library += kLibrary;
  char resolved[PATH_MAX];
  if (realpath(library->c_str(), resolved) != nullptr) *library = resolved;
  return true;
}

NAPI_MODULE_INIT() {
  std::string library;
  if (!FindLibrary(&library)) return Refuse(env, "can't find the folder of quiet_libtensorflow.node");

  const int null_device = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const int standard_error = fcntl(2, F_DUPFD_CLOEXEC, 3);
  const bool silenced = null_device >= 0 && standard_error >= 0 && dup2(null_device, 2) == 2;
  const void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  // Before anything else can call into the loader and replace the reason.
  const char* reason = handle == nullptr ? dlerror() : nullptr;
  const std::string message = reason == nullptr ? "" : reason;
  if (silenced) dup2(standard_error, 2);
  if (standard_error >= 0) close(standard_error);
  if (null_device >= 0) close(null_device);

  if (handle == nullptr) return Refuse(env, "can't load libtensorflow: " + message);
  return exports;
}
