#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lyre/base/result.h"

namespace lyre::cuda {

/// A kernel as it appears in profiles, and what this launch of it moves and computes.
struct KernelWork {
  const char* name = "";
  int64_t bytes = 0;       // of device memory that it must read and write at least once
  int64_t operations = 0;  // floating-point, a multiply-add as two
};

struct LaunchShape {
  dim3 grid = {1, 1, 1};
  dim3 block = {1, 1, 1};
  size_t shared_bytes = 0;  // dynamic
  int cluster = 1;          // blocks along x that share their memory
  /// Programmatic dependent launch (compute capability 9.0): the kernel may start while the one
  /// before it in the queue still runs, and waits for its results with grid_dependency_wait().
  bool overlap_previous = false;
};

/// A stream of device work, and the first error of whatever was put into it. Not thread-safe. Every
/// kernel of lyre is launched by launch().
class Queue {
 public:
  enum class Priority : uint8_t { kNormal, kHigh };

  /// On the current device.
  static Result<Queue> create(Priority priority);
  Queue(Queue&& other) noexcept { swap(other); }
  Queue& operator=(Queue&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Queue();

  cudaStream_t stream() const noexcept { return stream_; }
  int multiprocessors() const noexcept { return multiprocessors_; }  // of its device

  /// kernel<<<shape>>>(arguments...). An error is kept and everything after it is left out; it
  /// comes out of status().
  template <class... Parameters, class... Arguments>
  void launch(const KernelWork& work, const LaunchShape& shape, void (*kernel)(Parameters...),
              Arguments&&... arguments) {
    if (!check_shape(work, shape)) return;
    cudaLaunchAttribute attributes[2];
    cudaLaunchConfig_t config = {};
    fill(shape, config, attributes);
    begin_record(work);
    note(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), work.name);
    end_record();
  }

  /// Work that a library puts into the stream: `put(stream)` returns a cudaError_t.
  template <class Put>
  void run_library(const KernelWork& work, Put&& put) {
    if (error_ != cudaSuccess) return;
    begin_record(work);
    note(put(stream_), work.name);
    end_record();
  }

  void copy_to_device(void* to, const void* from, int64_t bytes);
  void copy_to_host(void* to, const void* from, int64_t bytes);
  void fill_bytes(void* to, uint8_t value, int64_t bytes);

  /// Keeps `error` unless there is one already.
  void note(cudaError_t error, const char* what);
  /// Of what was put in so far; does not wait.
  Status status() const;
  /// Waits for the end of all work. kDeviceLost for a fault on the way.
  Status finish();

  /// Times of single kernels, measured with events around each launch, which costs time itself:
  /// for benchmarks. Not while a graph is captured.
  struct Record {
    KernelWork work;
    float milliseconds = 0;
  };
  void start_recording();
  Result<std::vector<Record>> stop_recording();

 private:
  struct Events {
    KernelWork work;
    cudaEvent_t begin, end;
  };

  Queue() = default;
  void swap(Queue& other) noexcept;
  bool check_shape(const KernelWork& work, const LaunchShape& shape);
  void fill(const LaunchShape& shape, cudaLaunchConfig_t& config,
            cudaLaunchAttribute* attributes) const;
  void begin_record(const KernelWork& work);
  void end_record();

  cudaStream_t stream_ = nullptr;
  int multiprocessors_ = 1;
  cudaError_t error_ = cudaSuccess;
  const char* failed_ = "";
  bool recording_ = false;
  std::vector<Events> events_;
};

/// Lets `kernel` use so many bytes of dynamic shared memory. Once, before its first launch; a
/// static initialiser is too early.
template <class... Parameters>
Status allow_shared_bytes(void (*kernel)(Parameters...), int64_t bytes);

/// What was captured from a queue, launched as one. Move-only owner.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept : graph_(std::exchange(other.graph_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(graph_, other.graph_);
    return *this;
  }
  ~Graph();

  /// Runs `put(queue)`, which must only put work into that queue, and keeps the work instead of
  /// running it.
  template <class Put>
  static Result<Graph> capture(Queue& queue, Put&& put) {
    LYRE_RETURN_IF_ERROR(begin(queue));
    put(queue);
    return end(queue);
  }
  bool empty() const noexcept { return graph_ == nullptr; }
  void launch(Queue& queue) const;

 private:
  static Status begin(Queue& queue);
  static Result<Graph> end(Queue& queue);

  cudaGraphExec_t graph_ = nullptr;
};

/// A point in a queue that another queue or the host waits for. Move-only owner.
class Event {
 public:
  Event() = default;
  static Result<Event> create();
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event();

  void record(Queue& queue) const;
  void block(Queue& queue) const;  // what follows in `queue` runs after the point
  Status wait() const;             // the calling thread

 private:
  cudaEvent_t event_ = nullptr;
};

template <class... Parameters>
Status allow_shared_bytes(void (*kernel)(Parameters...), int64_t bytes) {
  const cudaError_t error =
      cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                           cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (error == cudaSuccess) return ok_status();
  cudaGetLastError();
  return Error{ErrorCode::kUnavailable,
               "CUDA: a kernel needs " + std::to_string(bytes) +
                   " bytes of shared memory a block: " + cudaGetErrorString(error)};
}

}  // namespace lyre::cuda
