#include "lyre/base/cuda/queue.h"

#include "lyre/base/cuda/status.h"

namespace lyre::cuda {
namespace {

constexpr unsigned kMostGridX = 2'147'483'647, kMostGridYz = 65'535, kMostThreads = 1'024;

}  // namespace

Result<Queue> Queue::create(Priority priority) {
  int least = 0, greatest = 0;  // greater priorities are lower numbers
  LYRE_RETURN_IF_ERROR(
      status_of(cudaDeviceGetStreamPriorityRange(&least, &greatest), "priorities of streams"));
  Queue queue;
  LYRE_RETURN_IF_ERROR(
      status_of(cudaStreamCreateWithPriority(&queue.stream_, cudaStreamNonBlocking,
                                             priority == Priority::kHigh ? greatest : least),
                "a stream"));
  int device = 0;
  LYRE_RETURN_IF_ERROR(status_of(cudaGetDevice(&device), "asking for the GPU"));
  LYRE_RETURN_IF_ERROR(status_of(
      cudaDeviceGetAttribute(&queue.multiprocessors_, cudaDevAttrMultiProcessorCount, device),
      "asking the GPU"));
  return queue;
}

Queue::~Queue() {
  for (const Events& events : events_) {
    cudaEventDestroy(events.begin);
    cudaEventDestroy(events.end);
  }
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

void Queue::swap(Queue& other) noexcept {
  std::swap(stream_, other.stream_);
  std::swap(multiprocessors_, other.multiprocessors_);
  std::swap(error_, other.error_);
  std::swap(failed_, other.failed_);
  std::swap(recording_, other.recording_);
  events_.swap(other.events_);
}

// A grid that is too large in y or z fails as "invalid configuration", without a word of which.
bool Queue::check_shape(const KernelWork& work, const LaunchShape& shape) {
  if (error_ != cudaSuccess) return false;
  const uint64_t threads = uint64_t{shape.block.x} * shape.block.y * shape.block.z;
  const bool fits = shape.grid.x >= 1 && shape.grid.x <= kMostGridX && shape.grid.y >= 1 &&
                    shape.grid.y <= kMostGridYz && shape.grid.z >= 1 &&
                    shape.grid.z <= kMostGridYz && threads >= 1 && threads <= kMostThreads &&
                    shape.cluster >= 1 && shape.grid.x % static_cast<unsigned>(shape.cluster) == 0;
  if (!fits) note(cudaErrorInvalidConfiguration, work.name);
  return fits;
}

void Queue::fill(const LaunchShape& shape, cudaLaunchConfig_t& config,
                 cudaLaunchAttribute* attributes) const {
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream_;
  config.attrs = attributes;
  if (shape.cluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = static_cast<unsigned>(shape.cluster);
    attribute.val.clusterDim.y = 1;
    attribute.val.clusterDim.z = 1;
  }
  // With events between them the kernels would not overlap anyway.
  if (shape.overlap_previous && !recording_) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
}

void Queue::copy_to_device(void* to, const void* from, int64_t bytes) {
  if (error_ != cudaSuccess || bytes == 0) return;
  note(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_),
       "a copy to the device");
}

void Queue::copy_to_host(void* to, const void* from, int64_t bytes) {
  if (error_ != cudaSuccess || bytes == 0) return;
  note(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_),
       "a copy to the host");
}

void Queue::fill_bytes(void* to, uint8_t value, int64_t bytes) {
  if (error_ != cudaSuccess || bytes == 0) return;
  note(cudaMemsetAsync(to, value, static_cast<size_t>(bytes), stream_), "filling memory");
}

void Queue::note(cudaError_t error, const char* what) {
  if (error == cudaSuccess || error_ != cudaSuccess) return;
  error_ = error;
  failed_ = what;
}

Status Queue::status() const { return status_of(error_, failed_); }

Status Queue::finish() {
  LYRE_RETURN_IF_ERROR(status());
  note(cudaStreamSynchronize(stream_), "waiting for the device");
  return status();
}

void Queue::start_recording() { recording_ = true; }

void Queue::begin_record(const KernelWork& work) {
  if (!recording_) return;
  Events events = {work, nullptr, nullptr};
  note(cudaEventCreate(&events.begin), "an event");
  note(cudaEventCreate(&events.end), "an event");
  events_.push_back(events);
  note(cudaEventRecord(events.begin, stream_), "an event");
}

void Queue::end_record() {
  if (recording_) note(cudaEventRecord(events_.back().end, stream_), "an event");
}

Result<std::vector<Queue::Record>> Queue::stop_recording() {
  recording_ = false;
  LYRE_RETURN_IF_ERROR(finish());
  std::vector<Record> records;
  for (const Events& events : events_) {
    Record& record = records.emplace_back();
    record.work = events.work;
    note(cudaEventElapsedTime(&record.milliseconds, events.begin, events.end), "an event");
    cudaEventDestroy(events.begin);
    cudaEventDestroy(events.end);
  }
  events_.clear();
  LYRE_RETURN_IF_ERROR(status());
  return records;
}

Graph::~Graph() {
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
}

// Relaxed: another thread that allocates meanwhile does no harm.
Status Graph::begin(Queue& queue) {
  LYRE_RETURN_IF_ERROR(queue.status());
  return status_of(cudaStreamBeginCapture(queue.stream(), cudaStreamCaptureModeRelaxed),
                   "beginning a graph");
}

Result<Graph> Graph::end(Queue& queue) {
  cudaGraph_t captured = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(queue.stream(), &captured);
  LYRE_RETURN_IF_ERROR(queue.status());
  LYRE_RETURN_IF_ERROR(status_of(ended, "ending a graph"));
  Graph graph;
  const cudaError_t made = cudaGraphInstantiate(&graph.graph_, captured, 0);
  cudaGraphDestroy(captured);
  LYRE_RETURN_IF_ERROR(status_of(made, "making a graph"));
  LYRE_RETURN_IF_ERROR(
      status_of(cudaGraphUpload(graph.graph_, queue.stream()), "uploading a graph"));
  return graph;
}

void Graph::launch(Queue& queue) const {
  if (!queue.status().ok()) return;
  queue.note(cudaGraphLaunch(graph_, queue.stream()), "launching a graph");
}

Result<Event> Event::create() {
  Event event;
  LYRE_RETURN_IF_ERROR(
      status_of(cudaEventCreateWithFlags(&event.event_, cudaEventDisableTiming), "an event"));
  return event;
}

Event::~Event() {
  if (event_ != nullptr) cudaEventDestroy(event_);
}

void Event::record(Queue& queue) const {
  if (queue.status().ok()) queue.note(cudaEventRecord(event_, queue.stream()), "an event");
}

void Event::block(Queue& queue) const {
  if (queue.status().ok()) queue.note(cudaStreamWaitEvent(queue.stream(), event_, 0), "an event");
}

Status Event::wait() const {
  return status_of(cudaEventSynchronize(event_), "waiting for an event");
}

}  // namespace lyre::cuda
