#include "lyre/audio/pcm_channel.h"

bool try_push(lyre::PcmSink& sink) {
#ifdef MISUSE
  sink.push({});
#endif
  return sink.push({}) == lyre::PushStatus::kAccepted;
}
