// Package awsbus is the bus port on AWS: a Queue of SQS with its dead-letter queue, and Events, which puts what happened to orders on a
// bus of EventBridge.
//
//	Send ---> queue ---Receive, Lambda---> consumer ---Delete---> gone
//	            |  ^                          |
//	            |  +---- visibility over -----+ Defer
//	            |
//	            |  the attempt to receive it once more, by SQS itself
//	            v
//	         dead-letter queue ---Redrive: send, then delete---> queue
//
// It promises what bus promises: a message is delivered at least once or stands among the dead letters. What SQS and the port do not share
// is settled here:
//
//   - A body that SQS takes, text without control characters, goes as it is and can be read in the console; any other goes as base64 and
//     says so in an attribute.
//   - A message has SQS's name unless its sender gave one. The name goes in an attribute, so that a redriven message keeps it; SQS
//     gives each message that is sent a new one.
//   - Times are whole seconds, rounded up, and 12 hours at most.
//   - SQS has no way to look at a message without receiving it. So List receives the dead letters, hides them from others for
//     as long as it reads, and lets them all go. Nothing else may receive from the dead-letter queue.
//   - Neither the reason of a Defer nor the moment of death is kept there.
//
// What survives a crash is in SQS. In memory there is one message that Wait has found, until the next Receive takes it.
package awsbus
