#pragma once

namespace lyre::command {

/// The setting `profiling`: records from here on, and prints the profile to standard error at the
/// end of the scope. One at a time; make it before and let it end after what is to be seen.
class Profiling {
 public:
  explicit Profiling(bool wanted);
  ~Profiling();
  Profiling(const Profiling&) = delete;
  Profiling& operator=(const Profiling&) = delete;

 private:
  const bool wanted_;
};

}  // namespace lyre::command
