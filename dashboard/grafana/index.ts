export { infinity } from './infinity';
export { prometheus } from './prometheus';
