#pragma once

// Everything that a program needs to speak: docs/library.md.
#include "lyre/audio/pcm_channel.h"
#include "lyre/audio/wav.h"
#include "lyre/base/log.h"
#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/trace.h"
#include "lyre/base/trace_chart.h"
#include "lyre/base/trace_event_json.h"
#include "lyre/base/trace_profile.h"
#include "lyre/base/warmup.h"
#include "lyre/engine/engine.h"
#include "lyre/engine/speak.h"
#include "lyre/engine/voice_folder.h"
